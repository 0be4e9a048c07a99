"""Layouts of published data sets, one module each. Its function `find` lists the images of a category."""
