"""What a prediction costs on this machine, by mode and runtime."""
