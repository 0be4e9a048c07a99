"""A model as a file for another runtime: writing it, comparing it, timing it."""
