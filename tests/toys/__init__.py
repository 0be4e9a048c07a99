"""Small things that tests of several rooms are about: pictures, data sets, checkouts, servers."""
