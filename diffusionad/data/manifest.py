"""The manifest: one row per image, in `manifest.parquet`. Later stages know nothing else about a data set."""

import hashlib
import json
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

SCHEMA = pa.schema(
    [
        ("path", pa.string()),
        ("split", pa.string()),
        ("label", pa.int64()),
        ("defect", pa.string()),
        ("mask", pa.string()),
        ("category", pa.string()),
        ("dataset", pa.string()),
        ("width", pa.int64()),
        ("height", pa.int64()),
        ("mode", pa.string()),
        ("sha256", pa.string()),
        ("group", pa.string()),
        ("brightness", pa.float64()),
        ("fingerprint", pa.string()),
    ]
)
"""The columns.

path: path of the image, relative to the images folder, with forward slashes.
split: train, val or test.
label: 0 normal, 1 anomalous.
defect: "good" or the name of the defect.
mask: path of the mask, relative to the same folder; missing where there is none.
category, dataset: names of the category and data set.
width, height: size in pixels, after the EXIF rotation.
mode: Pillow's name of the stored pixel format (L, RGB, I;16, P, ...).
sha256: digest of the file's bytes, 64 hexadecimal digits.
group: the physical object, if the data set tells; otherwise the path of the image.
brightness: mean grey value in [0, 1]; missing where the pixels were not decoded.
fingerprint: perceptual hash, 64 hexadecimal digits (`stages.download.fingerprint`); missing where brightness is.
"""


def write_manifest(frame: pd.DataFrame, path: Path, metadata: dict[str, str]) -> None:
    """Write a manifest, sorted by path, with metadata beside the rows.

    The bytes depend only on the arguments: not on the time, nor on the order of the rows.

    Args:
        frame: The columns of `SCHEMA`, in any order.
        path: Path of the Parquet file.
        metadata: Facts about the whole data set (licence, seed), as text by name.

    Raises:
        ValueError: If a column is missing or unknown.
    """
    if set(frame.columns) != set(SCHEMA.names):
        raise ValueError(f"{path}: a manifest has the columns {SCHEMA.names}, got {list(frame.columns)}")
    ordered = frame.sort_values("path", kind="stable", ignore_index=True)[SCHEMA.names]
    table = pa.Table.from_pandas(ordered, schema=SCHEMA, preserve_index=False)
    pq.write_table(table.replace_schema_metadata(dict(sorted(metadata.items()))), path)


def read_manifest(path: Path) -> pd.DataFrame:
    """Read a manifest.

    Returns:
        The columns of `SCHEMA`; missing text (no mask) is NaN.

    Raises:
        ValueError: If the file does not exist or is not a manifest.
    """
    frame: pd.DataFrame = _read_table(path).to_pandas()
    return frame


def read_metadata(path: Path) -> dict[str, str]:
    """Read the metadata that `write_manifest` was given.

    Raises:
        ValueError: Same as `read_manifest`.
    """
    metadata: dict[bytes, bytes] = _read_table(path).schema.metadata or {}
    return {key.decode(): value.decode() for key, value in metadata.items()}


def manifest_digest(path: Path) -> str:
    """Return the SHA-256 of a manifest's content: its metadata and rows, not the bytes of the file.

    Two versions of the Parquet library may store the same table in different bytes; the digest stays the same.

    Raises:
        ValueError: Same as `read_manifest`.
    """
    content = {"metadata": read_metadata(path), "rows": _read_table(path).to_pylist()}
    return hashlib.sha256(json.dumps(content, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def _read_table(path: Path) -> pa.Table:
    try:
        table = pq.read_table(path)
    except FileNotFoundError:
        raise ValueError(f"{path}: no such manifest; run `dvc repro` to make it") from None
    except pa.ArrowInvalid as error:
        raise ValueError(f"{path}: not a manifest: {error}") from None
    if missing := [name for name in SCHEMA.names if name not in table.column_names]:
        raise ValueError(f"{path}: not a manifest: no column {', '.join(missing)}")
    return table
