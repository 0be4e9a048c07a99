"""Anomaly maps, figures, pictures and the page of the test split."""
