"""What the stages left, as MLflow runs."""
