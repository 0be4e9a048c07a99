"""The cost of a prediction on this machine, by mode and runtime."""
