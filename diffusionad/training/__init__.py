"""How a model is trained: losses, averaged weights, the loop."""
