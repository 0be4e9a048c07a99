"""Anomaly maps and masks of a data set that need not fit into memory."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

HALF = np.dtype("<f2")


class MapWriter:
    """Writes maps one after the other into a .npy file of shape (count, H, W), float16, that numpy.load reads.

    Args:
        file: File, opened for writing.
        count: Number of maps that will be written.
        size: (H, W) in pixels.
    """

    def __init__(self, file: BinaryIO, count: int, size: tuple[int, int]) -> None:
        self._file = file
        header = {"descr": HALF.str, "fortran_order": False, "shape": (count, *size)}
        np.lib.format.write_array_header_1_0(file, header)

    def write(self, maps: NDArray[np.floating]) -> None:
        """Append maps of shape (B, H, W)."""
        self._file.write(np.ascontiguousarray(maps, HALF).tobytes())


class StoredMaps:
    """Maps of a file of `MapWriter`, read one at a time and as often as needed; a memory map would count as memory.

    Args:
        path: The file.
        chosen: Indices of the maps to read, in order.
    """

    def __init__(self, path: Path, chosen: Sequence[int]) -> None:
        self._path, self._chosen = path, chosen

    def __iter__(self) -> Iterator[NDArray[np.float16]]:
        with self._path.open("rb") as file:
            np.lib.format.read_magic(file)
            (_, *size), _, kind = np.lib.format.read_array_header_1_0(file)
            first, pixels = file.tell(), int(np.prod(size))
            for index in self._chosen:
                file.seek(first + index * pixels * kind.itemsize)
                yield np.fromfile(file, kind, pixels).reshape(size)


class PackedMasks:
    """Masks of one size, stored as one bit per pixel."""

    def __init__(self, masks: Iterator[NDArray[np.bool_]], size: tuple[int, int]) -> None:
        self._size = size
        self._bits = [np.packbits(mask) if mask.any() else None for mask in masks]

    def __iter__(self) -> Iterator[NDArray[np.bool_]]:
        for bits in self._bits:
            if bits is None:
                yield np.zeros(self._size, np.bool_)
            else:
                yield np.unpackbits(bits, count=self._size[0] * self._size[1]).reshape(self._size).astype(np.bool_)
