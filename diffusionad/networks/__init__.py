"""The networks: weights, without a process."""
