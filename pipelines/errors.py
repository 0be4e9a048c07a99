"""The one error that is worth another attempt."""


class TransientError(ValueError):
    """What went wrong may pass: a server or the network did not answer, or another process holds a lock."""
