"""Pictures of test images for the page: small, so that a page of 2,000 images opens at once."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from diffusionad.data.images import read_image, read_mask, resize_image
from stages.evaluate.heat import heat_layer, heat_map

SIDE_PX = 384
"""Largest length of a photograph's longer side on the page; 2,000 noisy photographs then stay below 60 MB."""
QUALITY = 75
OUTLINE = np.asarray([1, 1, 1, 1], dtype=np.float32)
HALO = np.asarray([0, 0, 0, 0.7], dtype=np.float32)


def draw_photographs(folder: Path, first: int, files: Sequence[Path], masks: Sequence[Path | None]) -> None:
    """Write photographs and, where there is a mask, its outline.

    Args:
        folder: Folder for `NNNNN-photograph.webp` and `NNNNN-outline.webp`.
        first: Number of the first image.
        files: The photographs.
        masks: Mask of each photograph; None where there is none.

    Raises:
        ValueError: If a file cannot be read.
    """
    for index, (file, mask) in enumerate(zip(files, masks, strict=True), first):
        photograph = read_image(file, None)
        size = _fit((photograph.shape[0], photograph.shape[1]))
        _save(folder / f"{index:05}-photograph.webp", resize_image(photograph, size))
        if mask is not None:
            _save(folder / f"{index:05}-outline.webp", _outline(read_mask(mask, size)))


def draw_answers(
    folder: Path,
    first: int,
    model: int,
    reconstructions: NDArray[np.float32] | None,
    anomaly_maps: NDArray[np.float32],
    threshold: float,
) -> None:
    """Write maps, overlays and reconstructions of a model.

    Args:
        folder: Folder for `NNNNN-M-map.webp`, `NNNNN-M-heat.webp` and, if the model makes reconstructions,
            `NNNNN-M-reconstruction.webp`.
        first: Number of the first image.
        model: M, 0 or 1: a page may show two models.
        reconstructions: Reconstructions in [0, 1], shape (N, 3, H, W); None where the model makes none.
        anomaly_maps: Anomaly maps in [0, 1], shape (N, H, W).
        threshold: Threshold of the raw image score; it scales the colours.
    """
    for place, anomaly_map in enumerate(anomaly_maps):
        stem = f"{first + place:05}-{model}"
        if reconstructions is not None:
            _save(folder / f"{stem}-reconstruction.webp", reconstructions[place].transpose(1, 2, 0))
        _save(folder / f"{stem}-map.webp", heat_map(anomaly_map, threshold))
        _save(folder / f"{stem}-heat.webp", heat_layer(anomaly_map, threshold))


def has_reconstructions(folder: Path, model: int) -> bool:
    """Whether `draw_answers` wrote reconstructions of a model."""
    return (folder / f"{0:05}-{model}-reconstruction.webp").is_file()


def _fit(size: tuple[int, int]) -> tuple[int, int]:
    scale = min(1.0, SIDE_PX / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _outline(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Draw a white line between dark ones just outside the defect: visible on any ground, and hiding nothing."""
    near, far = ndimage.binary_dilation(mask, iterations=2), ndimage.binary_dilation(mask, iterations=3)
    inner = ndimage.binary_dilation(mask)
    layer = np.zeros((*mask.shape, 4), np.float32)
    layer[far & ~mask] = HALO
    layer[near & ~inner] = OUTLINE
    return layer


def _save(path: Path, pixels: NDArray[np.float32]) -> None:
    picture = Image.fromarray(np.round(pixels.clip(0, 1) * 255).astype(np.uint8))
    picture.save(path, "WEBP", quality=QUALITY, alpha_quality=QUALITY, method=2)
