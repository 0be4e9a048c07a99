"""A small classifier of every position, trained on synthetic anomalies and on noise added to normal features."""
