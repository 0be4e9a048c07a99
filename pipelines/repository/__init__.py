"""What git and DVC know of the checkout."""
