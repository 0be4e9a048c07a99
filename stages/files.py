"""Atomic writes, JSON files, and the SHA-256 of a file."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a path to write to; move that file to `path` when the block ends without an error.

    A reader sees the old file or the new one, never half of it. If the block fails, `path` stays as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:100]}.")
    os.close(handle)
    draft = Path(name)
    try:
        yield draft
        draft.chmod(0o666 & ~_umask())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder to fill; move it to `path` when the block ends without an error.

    If the block fails, `path` stays as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name[:100]}."))
    old = draft.with_name(f"{draft.name}.old")
    try:
        yield draft
        draft.chmod(0o777 & ~_umask())
        # Moved aside, not deleted first: a deletion that stops halfway would leave half of the old folder.
        if path.exists():
            path.replace(old)
        draft.replace(path)
    finally:
        if old.exists() and not path.exists():
            old.replace(path)
        shutil.rmtree(draft, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def write_json(path: Path, content: Any) -> None:  # noqa: ANN401  # JSON holds anything
    """Write `content` as JSON, atomically; keys keep their order.

    Raises:
        ValueError: If a number is NaN or infinite, which JSON cannot hold.
    """
    try:
        text = json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False) + "\n"
    except ValueError as error:
        raise ValueError(f"{path}: not written: {error}; write null where there is no number") from None
    with atomic_file(path) as draft:
        draft.write_text(text, encoding="utf-8")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file that holds an object.

    Raises:
        ValueError: If the file is missing or is not JSON.
    """
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{path}: not found; run `dvc repro` first") from None
    except ValueError as error:
        raise ValueError(f"{path}: not JSON: {error}; run `dvc repro` to make it again") from None
    return content


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, 64 hexadecimal digits.

    Raises:
        OSError: If there is no such file, or it cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
