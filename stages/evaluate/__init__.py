"""Evaluation on the test split: anomaly maps, figures, pictures and a page."""
