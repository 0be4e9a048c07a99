"""What a server sends, whatever its protocol."""

from typing import BinaryIO, NamedTuple


class Interrupted(Exception):  # noqa: N818  # it says what happened
    """A transfer stopped in a way that another attempt may mend."""


class Response(NamedTuple):
    """The bytes of a file from `start` on."""

    stream: BinaryIO
    start: int
    """Offset of the first byte; 0 if the server would not resume."""
    total: int | None
    """Length of the whole file; None if the server does not say."""
    tag: str | None
    """Names this version of the file, for the next resume."""
