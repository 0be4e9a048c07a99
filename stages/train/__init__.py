"""Training: batches, resuming, selection of the model that is kept."""
