"""How good reconstructions are: on synthetic anomalies, whose originals without an anomaly are known."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  # the name that torch's own documentation uses
from torch import Tensor

from diffusionad.data.masks import resize_mask
from diffusionad.networks.efficientnet import EfficientNetLite0
from diffusionad.networks.layout import best_device
from diffusionad.runtime.batches import read, to_tensor
from stages.common.synthetic import SyntheticSet
from stages.evaluate.figures import Figures

BATCH = 16
LEVEL = 2
"""Level of EfficientNet-Lite0 whose maps are compared: 40 channels, one position per 8 x 8 pixels."""
SMALLEST = 1e-10
"""Smallest mean squared error that counts, so that a perfect reconstruction has 100 dB."""
NAMES = ("psnr_normal", "psnr_anomalous", "kept_anomaly", "feature_distance")


class Errors(NamedTuple):
    """Means over the pixels of each image, shape (B,) each; images are in [0, 1]."""

    outside: Tensor
    """Squared distance of reconstruction and original outside the mask."""
    inside: Tensor
    """The same inside the mask."""
    along: Tensor
    """Product of (reconstruction - original) and (anomalous image - original) inside the mask."""
    anomaly: Tensor
    """Squared distance of anomalous image and original inside the mask."""


def reconstruction_figures(synthetic: SyntheticSet | None, reconstructions: Tensor | None, images: Path) -> Figures:
    """Compute `reconstruction_*` of a detector that makes reconstructions.

    With original x, anomalous image a and reconstruction r, squares averaged over pixels and then over images:

        psnr_normal       -10 log10 |r - x|^2 outside the masks, dB
        psnr_anomalous    -10 log10 |r - x|^2 inside the masks, dB
        kept_anomaly      <r - x, a - x> / |a - x|^2 inside the masks: 1 where the anomaly is copied, 0 where it is gone
        feature_distance  |f(r) - f(x)|^2 / |f(a) - f(x)|^2 inside the masks, f being maps of a frozen
                          EfficientNet-Lite0: 1 where the anomaly is copied, 0 for the original

    Without a synthetic test set all are None, without the weights of the network the last one is; a reason says why.

    Args:
        synthetic: The N synthetic anomalies.
        reconstructions: What the detector makes of them, in [0, 1], shape (N, 3, H, W); None without a
            synthetic set.
        images: Folder of the originals.

    Raises:
        ValueError: If an original cannot be read, or the set does not say which one it is.
    """
    if synthetic is None or reconstructions is None:
        return _named({}, "there is no synthetic test set, whose images without an anomaly are known")
    if len(synthetic.paths) != len(synthetic.images):
        raise ValueError("the synthetic test set does not name its originals; run `dvc repro` to make it again")
    try:
        encoder = EfficientNetLite0([LEVEL])
        encoder.load_pretrained()
        encoder.to(best_device())
        reason = None
    except ValueError as error:
        encoder, reason = None, str(error)
    errors, features = [], []
    for x, a, r, mask in _batches(synthetic, reconstructions, images):
        errors.append(_errors(x, a, r, mask))
        if encoder is not None:
            features.append(_feature_errors(encoder, x, a, r, mask))
    outside, inside, along, anomaly = (torch.cat(parts).mean().item() for parts in zip(*errors, strict=True))
    found = {"psnr_normal": _decibel(outside), "psnr_anomalous": _decibel(inside)}
    if anomaly > 0:
        found["kept_anomaly"] = along / anomaly
    if features:
        of_made, of_anomalous = torch.cat(features, dim=1).mean(dim=1).tolist()
        if of_anomalous > 0:
            found["feature_distance"] = of_made / of_anomalous
    return _named(found, reason or "no synthetic anomaly differs from its original")


def _named(found: dict[str, float], reason: str) -> Figures:
    figures: Figures = {f"reconstruction_{name}": found.get(name) for name in NAMES}
    return figures if len(found) == len(NAMES) else figures | {"reconstruction_reason": reason}


def _batches(
    synthetic: SyntheticSet, reconstructions: Tensor, images: Path
) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """Yield originals, anomalous images and reconstructions, (B, 3, H, W), and masks, (B, 1, H, W)."""
    height, width = reconstructions.shape[2:]
    size = (int(height), int(width))
    own_size = synthetic.images.shape[1:3]
    for start in range(0, len(reconstructions), BATCH):
        part = slice(start, start + BATCH)
        originals = [images / name for name in synthetic.paths[part]]
        anomalous = to_tensor(synthetic.images[part])
        if own_size != size:
            anomalous = F.interpolate(anomalous, size=size, mode="area")
        masks = np.stack([resize_mask(mask, size) for mask in synthetic.masks[part]])
        yield read(originals, size), anomalous, reconstructions[part], torch.from_numpy(masks)[:, None]


def _errors(x: Tensor, a: Tensor, r: Tensor, mask: Tensor) -> Errors:
    inside = mask.float()
    return Errors(
        _mean((r - x).square(), 1 - inside),
        _mean((r - x).square(), inside),
        _mean((r - x) * (a - x), inside),
        _mean((a - x).square(), inside),
    )


@torch.inference_mode()
def _feature_errors(encoder: EfficientNetLite0, x: Tensor, a: Tensor, r: Tensor, mask: Tensor) -> Tensor:
    """Squared distances of the features of r and of a to those of x inside the mask, shape (2, B)."""
    device = next(encoder.parameters()).device
    of_x, of_a, of_r = (encoder(each.to(device))[0].cpu() for each in (x, a, r))
    share = F.adaptive_avg_pool2d(mask.float(), of_x.shape[2:])
    return torch.stack([_mean((each - of_x).square(), share) for each in (of_r, of_a)])


def _mean(values: Tensor, weight: Tensor) -> Tensor:
    """Mean of values (B, C, H, W) with weights (B, 1, H, W), shape (B,); 0 where all weights are 0."""
    means: Tensor = (values.mean(dim=1, keepdim=True) * weight).sum(dim=(1, 2, 3)) / weight.sum(dim=(1, 2, 3)).clamp(
        min=1e-6
    )
    return means


def _decibel(squared_error: float) -> float:
    return -10 * math.log10(max(squared_error, SMALLEST))
