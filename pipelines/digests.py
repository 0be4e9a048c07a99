"""SHA-256 of files, folders and text."""

import hashlib
from pathlib import Path

from stages.files import file_digest as digest_of


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file, or "" if there is none."""
    return digest_of(path) if path.is_file() else ""


def folder_digest(folder: Path, leave_out: tuple[str, ...] = ()) -> str:
    """Return the SHA-256 of the names and contents of all files of a folder, at any depth.

    Args:
        folder: Folder with at least one file.
        leave_out: Names of files directly in the folder that do not count. Compiled Python never counts.

    Raises:
        ValueError: If the folder is missing or holds no file.
    """
    files = sorted(file for file in folder.rglob("*") if file.is_file() and "__pycache__" not in file.parts)
    files = [file for file in files if str(file.relative_to(folder)) not in leave_out]
    if not files:
        raise ValueError(f"{folder}: no files here")
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.relative_to(folder).as_posix()}\0{file_digest(file)}\n".encode())
    return digest.hexdigest()


def text_digest(text: str) -> str:
    """Return the SHA-256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()
