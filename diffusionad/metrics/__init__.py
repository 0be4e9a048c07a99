"""How good is a detector: arrays in, floats out. Knows no network and no file."""
