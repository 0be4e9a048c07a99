"""Anomaly detection by norm-guided one-step denoising (DiffusionAD, arXiv:2303.08730)."""
