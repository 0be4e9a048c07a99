"""Agreement of an export with the model it was made from."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from diffusionad.metrics.ranking import image_auroc
from diffusionad.section import Section


class MapBounds(Section):
    """Part `max_map_difference` of section `export`."""

    fp32: float = Field(gt=0)
    bf16: float = Field(gt=0)
    int8: float = Field(gt=0)


class ExportConfig(Section):
    """Section `export` of params.yaml."""

    max_map_difference: MapBounds = Field(
        description="largest difference of a pixel of the anomaly map, which lies in [0, 1], from torch's in fp32"
    )
    max_auroc_loss: float = Field(
        ge=0, le=1, description="how far the image AUROC of an export may fall below torch's on the validation set"
    )
    validation_images: int = Field(
        ge=2, description="largest number of validation images of each kind, normal and synthetic"
    )
    calibration_images: int = Field(ge=1, description="normal training images that int8 takes its ranges from")
    rounds: int = Field(ge=1, description="timed calls on one image, in turns with torch")


class Answers(NamedTuple):
    """The scores and maps of a runtime for the validation set."""

    scores: NDArray[np.float64]
    """(N,)."""
    maps: NDArray[np.float32]
    """(N, H, W), in [0, 1]."""


class Agreement(NamedTuple):
    """How an export compares with torch in fp32."""

    map_difference: float
    image_auroc: float | None
    image_auroc_torch: float | None


def compare(labels: NDArray[np.int64], exported: Answers, reference: Answers) -> Agreement:
    """Compare two answers to the same images, labels 0 = normal, 1 = anomalous, shape (N,)."""
    both = 0 < labels.sum() < len(labels)
    finite = bool(np.isfinite(exported.maps).all() and np.isfinite(exported.scores).all())
    return Agreement(
        float(np.abs(exported.maps - reference.maps).max()) if finite else float("inf"),
        image_auroc(labels, exported.scores) if both and finite else None,
        image_auroc(labels, reference.scores) if both else None,
    )


def check(config: ExportConfig, precision: str, agreement: Agreement) -> None:
    """Check an export against the bounds of the settings.

    Raises:
        ValueError: If it differs from torch by more than the settings allow; the message says by how much.
    """
    bound = float(getattr(config.max_map_difference, precision))
    # "not <=" and not ">": NaN must not pass.
    if not agreement.map_difference <= bound:
        raise ValueError(
            f"the anomaly map differs from torch's by up to {agreement.map_difference:.3g}, and "
            f"export.max_map_difference.{precision} allows {bound:g}"
        )
    if agreement.image_auroc is None or agreement.image_auroc_torch is None:
        return
    if not agreement.image_auroc >= agreement.image_auroc_torch - config.max_auroc_loss:
        raise ValueError(
            f"image AUROC on the validation set falls from {agreement.image_auroc_torch:.3f} to "
            f"{agreement.image_auroc:.3f}, and export.max_auroc_loss allows {config.max_auroc_loss:g}"
        )
