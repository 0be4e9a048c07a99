"""What follows what: the Prefect flows and their tasks."""
