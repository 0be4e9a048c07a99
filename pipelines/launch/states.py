"""Names of completed states of our flows, beside Prefect's own."""

REFUSED = "Refused"
"""The gate refused; no failure of the flow."""
UNCHANGED = "Unchanged"
"""There was nothing to do."""
DRIFTED = "Drifted"
"""Scores have drifted; a scoring all the same."""
