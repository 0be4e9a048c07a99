"""Foreground segmentation: masks of the object on normal photographs, where synthetic anomalies may lie."""
