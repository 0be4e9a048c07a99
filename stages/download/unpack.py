"""Unpack an archive that may be damaged or hostile."""

import gzip
import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2")
"""Endings of archives that can be unpacked."""

CHUNK = 1 << 20

DAMAGED = (
    tarfile.TarError,
    zipfile.BadZipFile,
    gzip.BadGzipFile,
    lzma.LZMAError,
    zlib.error,
    EOFError,
    NotImplementedError,  # a method of compression that Python lacks
)


def unpack(archive: Path, target: Path, *, max_bytes: int, max_files: int) -> None:
    """Unpack a zip or tar into an empty folder. Only the contents of files are taken: no modes, owners or links.

    Args:
        archive: The file; its content tells the format, not its name.
        target: The empty folder.
        max_bytes: Largest total size of the files, counted as they are written, since a header may lie.
        max_files: Largest number of files.

    Raises:
        ValueError: If the file is no archive, is damaged or encrypted, has a path or a link that leads out of it, or
            exceeds a limit. Files written until then stay in `target`.
    """
    budget, count = max_bytes, 0
    written: dict[Path, str] = {}
    try:
        for name, content in _members(archive):
            count += 1
            if count > max_files:
                raise ValueError(
                    f"{archive}: more than {max_files} files; raise download.fetch.max_files if it is right"
                )
            place = target / _safe(archive, name)
            if written.setdefault(place, name) != name:
                raise ValueError(f"{archive}: {written[place]} and {name} are one file here; rename one of them")
            try:
                place.parent.mkdir(parents=True, exist_ok=True)
            except (FileExistsError, NotADirectoryError):
                raise ValueError(f"{archive}: {name} lies in a folder that is a file too; refused") from None
            if place.is_dir():
                raise ValueError(f"{archive}: {name} is a file and a folder; refused")
            with content, place.open("wb") as file:
                while chunk := content.read(min(CHUNK, budget + 1)):
                    budget -= len(chunk)
                    if budget < 0:
                        raise ValueError(
                            f"{archive}: grows beyond {max_bytes >> 20} MiB at {name}; "
                            "raise download.fetch.max_unpacked_mib if it is right"
                        )
                    file.write(chunk)
    except DAMAGED as error:
        raise ValueError(f"{archive}: damaged or cut off: {error}") from None


def _members(archive: Path) -> Iterator[tuple[str, IO[bytes]]]:
    if zipfile.is_zipfile(archive):
        return _zip_members(archive)
    if tarfile.is_tarfile(archive):
        return _tar_members(archive)
    raise ValueError(f"{archive}: not an archive, or cut off; expected one of {', '.join(SUFFIXES)}")


def _zip_members(archive: Path) -> Iterator[tuple[str, IO[bytes]]]:
    with zipfile.ZipFile(archive) as packed:
        for member in packed.infolist():
            # PowerShell 5 ends the entry of a folder in a backslash.
            if member.is_dir() or member.filename.endswith("\\") or _is_junk(member.filename):
                continue
            if member.flag_bits & 1:
                raise ValueError(f"{archive}: {member.filename} is locked by a password; unpack it by hand")
            if stat.S_ISLNK(member.external_attr >> 16):
                raise ValueError(f"{archive}: {member.filename} is a link; refused")
            yield member.filename, packed.open(member)


def _tar_members(archive: Path) -> Iterator[tuple[str, IO[bytes]]]:
    with tarfile.open(archive) as packed:
        for member in packed:
            if member.isdir() or _is_junk(member.name):
                continue
            try:
                content = packed.extractfile(member)  # of a link: the member it points to
            except KeyError:
                raise ValueError(f"{archive}: {member.name} is a link out of the archive; refused") from None
            if content is None:
                raise ValueError(f"{archive}: {member.name} is neither a file nor a folder; refused")
            yield member.name, content


def _safe(archive: Path, name: str) -> PurePosixPath:
    path = PurePosixPath(name.replace("\\", "/"))
    if not path.parts or path.is_absolute() or ".." in path.parts or ":" in path.parts[0]:
        raise ValueError(f"{archive}: {name} leads out of the folder it is unpacked to; refused")
    return path


def _is_junk(name: str) -> bool:
    parts = PurePosixPath(name.replace("\\", "/")).parts
    return "__MACOSX" in parts or any(part.startswith("._") for part in parts)
