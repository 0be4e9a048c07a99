"""Data contracts: rules checked by Great Expectations, and their report."""
