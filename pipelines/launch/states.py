"""Names of completed states of our flows, in addition to Prefect's own."""

REFUSED = "Refused"
"""The gate refused, which is not a failure of the flow."""
UNCHANGED = "Unchanged"
"""There was nothing to do."""
DRIFTED = "Drifted"
"""The images were scored, and the scores have drifted."""
