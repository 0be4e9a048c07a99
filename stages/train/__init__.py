"""Training: batches, resuming, and selection of the model to keep."""
