"""Find the mask of an image by its name among the files in folders of masks."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from stages.download.layouts.names import without_affix


class Found(NamedTuple):
    """The mask of an image, as `Item` has it. Paths are relative to `Listing.home`."""

    mask: str | None = None
    parts: tuple[str, ...] = ()


class Masks:
    """Masks by the names of their images.

    A mask is named like its image, or with a word for a mask before or after it; or it is a folder of that name, whose
    files are joined.

    Args:
        home: Folder that paths are relative to.
        files: The masks, each with the folder of masks that it lies in.
    """

    def __init__(self, home: Path, files: Iterable[tuple[Path, Path]]) -> None:
        self._exact: dict[str, str] = {}
        self._plain: dict[str, str] = {}
        self._folders: dict[str, list[str]] = {}
        for folder, file in files:
            name, key = file.relative_to(home).as_posix(), file.relative_to(folder).with_suffix("")
            self._exact.setdefault(key.as_posix(), name)
            self._plain.setdefault(key.with_name(without_affix(key.name) or key.name).as_posix(), name)
            self._folders.setdefault(key.parent.as_posix(), []).append(name)
        self.names = frozenset(name for names in self._folders.values() for name in names)

    def of(self, *keys: str) -> Found:
        """The mask of an image.

        Args:
            keys: What the image may be called, relative to the folder of masks and without an ending.
        """
        for names in (self._exact, self._plain):
            if mask := next((names[key] for key in keys if key in names), None):
                return Found(mask)
        parts = next((tuple(sorted(self._folders[key])) for key in keys if key in self._folders), ())
        return Found(f"masks/{keys[0]}.png", parts) if parts else Found()
