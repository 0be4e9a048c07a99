"""Packing a trained model for the registry, and predicting with it."""
