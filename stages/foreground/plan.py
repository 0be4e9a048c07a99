"""Choose the method that finds the objects of a category, and prepare it for its images."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from diffusionad.data.images import read_image, read_mask
from diffusionad.data.ranges import evenly_spaced
from diffusionad.foreground.choice import choose_method
from diffusionad.foreground.colours import shrunk
from diffusionad.foreground.methods import Foreground, ForegroundConfig, Method, prepare, whole_unless_credible

ForegroundFinder = Callable[[str, NDArray[np.float32]], Foreground]
"""Maps the path of an image in the manifest, and the image (RGB in [0, 1], shape (H, W, 3)), to its foreground."""


class ForegroundPlan(NamedTuple):
    """How the objects of a category are found, and why."""

    find: ForegroundFinder
    method: str
    """Name of the method, as in params.yaml."""
    reason: str
    """Why this method, for the log and the summary."""
    credibility: dict[Method, float]
    """Mean credibility of each method that was tried, in [0, 1]; empty if none was."""


def plan_foreground(
    config: ForegroundConfig, method: Method | Literal["auto"], images: Path, normal: pd.DataFrame
) -> ForegroundPlan:
    """Prepare a method, or let `auto` choose one.

    Args:
        config: Settings of the methods.
        method: Name of the method, or `auto`.
        images: The folder that the paths in `normal` are relative to.
        normal: Rows of the manifest with label 0, at least one.

    Raises:
        ValueError: If an image cannot be read, or the method cannot be used.
    """
    # Test images do not influence the choice, as long as there are others.
    names = list(normal.loc[normal["split"] == "train", "path"]) or list(normal["path"])
    chosen = evenly_spaced(len(names), config.sample) if method in ("auto", "median_background") else []
    sample = [shrunk(read_image(images / names[i], None), config.working_px) for i in chosen]
    named, reason, tried = choose_method(config, sample) if method == "auto" else (method, "as params.yaml says", {})
    find = prepare(config, named, sample)
    return ForegroundPlan(lambda _, image: whole_unless_credible(config, find(image)), named, reason, tried)


def users_plan(config: ForegroundConfig, folder: Path | None, targets: Mapping[str, Path]) -> ForegroundPlan:
    """Use the masks that the user drew.

    Args:
        config: The credible area.
        folder: The folder of the masks; None if params.yaml names none.
        targets: Path of the mask in the folder, by path of the image.

    Raises:
        ValueError: If there is no folder or a mask is missing; when the plan is used, if a mask has another size than
            its image.
    """
    if folder is None:
        raise ValueError("params.yaml: `foreground.masks`: expected a folder for method `masks`, got null")
    if missing := [target for target in targets.values() if not (folder / target).is_file()]:
        raise ValueError(f"{folder / missing[0]}: no such mask, and {len(missing) - 1} more are missing")

    def find(name: str, image: NDArray[np.float32]) -> Foreground:
        mask = read_mask(folder / targets[name], None)
        if mask.shape != image.shape[:2]:
            expected, came = (f"{width} x {height}" for height, width in (image.shape[:2], mask.shape))
            raise ValueError(f"{folder / targets[name]}: expected {expected} px, the size of {name}; got {came} px")
        return whole_unless_credible(config, mask)

    return ForegroundPlan(find, "masks", f"drawn by the user, in {folder}", {})
