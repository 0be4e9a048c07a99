"""The noise of inference: a function of what an image shows and of a seed, so that a score depends on nothing else."""

import functools
import hashlib

import torch
from torch import Tensor


class ImageNoise:
    """The noise of images (B, 3, H, W), drawn from their bytes and a seed.

    Args:
        images: Images on the CPU.
        like: The same images on the device and in the memory layout that the noise is to have.
        seed: Seed of the noise.
    """

    def __init__(self, images: Tensor, like: Tensor, seed: int) -> None:
        self._images, self._like, self._seed = images, like, seed

    def __call__(self, key: int) -> Tensor:
        """Standard normal noise of the shape of the images, on their device."""
        noise = torch.empty(self._like.shape)
        for index, generator in enumerate(self.generators(key)):
            noise[index] = torch.randn(noise.shape[1:], generator=generator)
        return noise.to(self._like)

    def generators(self, key: int) -> list[torch.Generator]:
        """One generator per image, on the CPU."""
        return [self._generator(digest, key) for digest in self._digests]

    @functools.cached_property
    def _digests(self) -> list[bytes]:
        """SHA-256 of each image, computed when noise is first asked for, which many models never do."""
        return [hashlib.sha256(image.numpy().tobytes()).digest() for image in self._images.contiguous()]

    def _generator(self, digest: bytes, key: int) -> torch.Generator:
        identity = hashlib.sha256(digest + f"{self._seed}/{key}".encode()).digest()
        return torch.Generator().manual_seed(int.from_bytes(identity[:8], "big") >> 1)
