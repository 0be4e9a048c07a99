"""The base of every section of params.yaml."""

from pydantic import BaseModel


class Section(BaseModel, frozen=True, extra="forbid", strict=True):
    """One section of params.yaml: immutable, no unknown keys, no silent casts.

    Fields have no defaults. params.yaml is the only place where a value is
    written down, so that DVC, which tracks that file, sees every change.
    """
