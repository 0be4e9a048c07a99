"""Where the object is on each normal photograph."""
