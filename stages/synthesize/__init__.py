"""Synthetic anomalies: previews, and the fixed sets for validation and test."""
