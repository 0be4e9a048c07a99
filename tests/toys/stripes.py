"""Normal images of noisy stripes, and an anomaly on them."""

import torch


def stripes(count, seed=0, size=64):
    """Draw images of noisy stripes, shape (count, 3, size, size)."""
    wave = 0.5 + 0.3 * torch.sin(torch.arange(size) / 3)
    noise = 0.05 * torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(seed))
    return (wave + noise).clamp(0, 1)


def with_square(images):
    """Put a bright square, rows 24 to 40 and columns 16 to 32, on copies of images."""
    images = images.clone()
    images[:, :, 24:40, 16:32] = 0.95
    return images
