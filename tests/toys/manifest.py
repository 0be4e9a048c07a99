"""Manifests of which a test names only what it is about."""

import pandas as pd

from diffusionad.data.manifest import SCHEMA


def fill(rows):
    """Make a frame with all columns of a manifest; those that the rows lack are empty or 0, and masks are missing."""
    frame = pd.DataFrame(rows)
    for column in SCHEMA.names:
        if column not in frame:
            frame[column] = "" if SCHEMA.field(column).type == "string" else 0
    frame["mask"] = frame["mask"].astype(object).where(frame["mask"] != "", None)
    return frame
