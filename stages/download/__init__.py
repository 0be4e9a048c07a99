"""Raw images to a checked manifest."""
