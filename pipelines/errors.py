"""The error that another attempt may mend."""


class TransientError(ValueError):
    """A failure that may pass by itself: a server or the network did not answer, or another process holds a lock."""
