"""Figures of whole test sets: tallies in bounded memory, bootstrap intervals, curves for a page."""
