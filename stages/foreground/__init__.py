"""Foreground: a mask of the object on each normal photograph."""
