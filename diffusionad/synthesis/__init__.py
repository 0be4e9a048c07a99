"""Synthetic anomalies: where not (foreground), where (perlin, thin, shapes), what (appearance), together (blend)."""
