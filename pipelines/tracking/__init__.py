"""The files that the stages left, logged as MLflow runs."""
