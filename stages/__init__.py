"""Files in, files out: one module for each stage of dvc.yaml, and what they share."""
