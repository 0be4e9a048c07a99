"""A segmenter alone, trained on synthetic anomalies: the control for detectors with a reconstruction."""
