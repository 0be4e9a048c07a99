"""A model as a file for another runtime: written, compared with torch, and timed."""
