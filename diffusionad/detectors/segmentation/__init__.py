"""A segmenter alone, trained on synthetic anomalies: what a reconstruction has to be better than."""
