"""Rules for data by Great Expectations, and how their outcome is told."""
