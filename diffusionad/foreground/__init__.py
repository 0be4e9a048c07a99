"""Where not: the part of a normal photograph that shows the object, where synthetic anomalies may lie."""
