"""Metrics of a detector: arrays in, floats out, without networks or files."""
