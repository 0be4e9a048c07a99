"""The response of a server to the request for a file, whatever the protocol."""

from typing import BinaryIO, NamedTuple


class Interrupted(Exception):  # noqa: N818  # it says what happened
    """A transfer stopped, and another attempt may succeed."""


class Response(NamedTuple):
    """The bytes of a file from an offset on."""

    stream: BinaryIO
    """The bytes themselves."""
    start: int
    """Offset of the first byte; 0 if the server would not resume."""
    total: int | None
    """Length of the whole file, bytes; None if the server does not say."""
    tag: str | None
    """Identifier of this version of the file, for the next resume; None if the server gives none."""
