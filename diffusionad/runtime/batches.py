"""Images as users pass them -> batches of tensors; files are read while the batch before them is processed."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from diffusionad.data.decode import open_image, read_bytes
from diffusionad.data.images import fit_photograph, resize_image

Images = Tensor | Sequence[str | Path | Image.Image]
"""Float tensor (B, 3, H, W) in [0, 1], or paths and PIL images of any size."""


def to_tensor(images: NDArray[np.float32]) -> Tensor:
    """Turn images of shape (N, H, W, 3) into a tensor (N, 3, H, W) that shares their memory."""
    return torch.from_numpy(images).permute(0, 3, 1, 2)


def batches(images: Images, size: tuple[int, int], batch_size: int) -> Iterator[Tensor]:
    """Convert images to the input of a model: float32 in [0, 1] on the CPU, shape (at most batch_size, 3, *size).

    Raises:
        ValueError: If a file is not an image, or a tensor has another shape, type or range.
    """
    if isinstance(images, (str, Path, Image.Image)):
        raise ValueError(  # noqa: TRY004  # a wrong argument is a ValueError everywhere in this package
            f"expected a list of images, got one {type(images).__name__}; put it into a list"
        )
    starts = range(0, len(images), batch_size)
    if isinstance(images, Tensor):
        _check_tensor(images)
        for start in starts:
            yield _resized(images[start : start + batch_size].cpu().float(), size)
        return
    with ThreadPoolExecutor(max_workers=1) as worker:
        coming = None
        for start in starts:
            batch = read(images[start : start + batch_size], size) if coming is None else coming.result()
            following = images[start + batch_size : start + 2 * batch_size]
            coming = worker.submit(read, following, size) if len(following) else None
            yield batch


def read(images: Sequence[str | Path | Image.Image], size: tuple[int, int]) -> Tensor:
    """Read paths and PIL images: (B, 3, *size), float32 in [0, 1].

    Raises:
        ValueError: If an item is neither a path nor a PIL image, or `fit_photograph` refuses it.
    """
    return torch.from_numpy(np.stack([_prepare(image, size) for image in images])).permute(0, 3, 1, 2)


def _prepare(image: str | Path | Image.Image, size: tuple[int, int]) -> NDArray[np.float32]:
    if isinstance(image, Image.Image):
        return fit_photograph(image, size, "PIL image")
    if not isinstance(image, (str, Path)):
        raise ValueError(  # noqa: TRY004  # as above
            f"expected paths or PIL images, got a {type(image).__name__}; arrays go in as one tensor (B, 3, H, W)"
        )
    return fit_photograph(open_image(read_bytes(Path(image)), str(image)), size, str(image))


def _resized(images: Tensor, size: tuple[int, int]) -> Tensor:
    if tuple(images.shape[2:]) == size:
        return images
    arrays = images.permute(0, 2, 3, 1).numpy()
    resized = [resize_image(array, size) for array in arrays]
    return torch.from_numpy(np.stack(resized)).permute(0, 3, 1, 2)


def _check_tensor(images: Tensor) -> None:
    if images.dim() != 4 or images.shape[1] != 3 or not images.is_floating_point():  # noqa: PLR2004  # (B, 3, H, W)
        raise ValueError(f"expected a float tensor (B, 3, H, W), got {images.dtype} of shape {tuple(images.shape)}")
    if images.numel() and not (images.min() >= 0 and images.max() <= 1):
        raise ValueError(
            f"expected values in [0, 1], got {float(images.min()):.3g} to {float(images.max()):.3g}; divide by 255?"
        )
