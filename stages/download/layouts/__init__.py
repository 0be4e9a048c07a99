"""How published data sets lay out their files, one module per layout."""
