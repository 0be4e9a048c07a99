"""The checkout as DVC and git see it."""
