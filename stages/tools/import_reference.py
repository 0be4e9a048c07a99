"""A checkpoint of the authors' public implementation -> a folder that `Detector.load` opens."""

import logging
import tempfile
from pathlib import Path
from typing import Any

from diffusionad.detector import Detector, DetectorConfig
from diffusionad.detectors.diffusionad.model import DiffusionAD, DiffusionADConfig
from diffusionad.detectors.diffusionad.reference import MULTIPLIERS, Reference, check_fit, read_reference
from stages.files import atomic_folder
from stages.params import PARAMS, detector_file, read_settings
from stages.tools.settings import copy_settings, lay_over

LOG = logging.getLogger(__name__)
PAPER = Path("params/paper.yaml")
KIND = "diffusionad"
TOP_K = 50
"""Number of pixels whose mean is the image score, at any image size."""
THRESHOLD = 0.5
"""The authors calibrate no threshold: this is the middle of the range of scores."""


def import_reference(checkpoint: Path, folder: Path, *, params: Path = PARAMS, paper: Path = PAPER) -> DetectorConfig:
    """Read the weights and settings of `checkpoint`; write the model to `folder`.

    The settings are those of the profile `paper`, overridden by the checkpoint's own `args`.

    Raises:
        ValueError: If the file is not a checkpoint of the authors, or its weights do not fit its settings.
    """
    reference = read_reference(checkpoint)
    try:
        size = _size(reference.args)
        model = _model(_published(params, paper), reference, size)
    except (KeyError, TypeError, IndexError) as error:
        raise ValueError(f"{checkpoint}: its `args` lack a setting or have another form: {error}") from None
    except ValueError as error:
        raise ValueError(f"{checkpoint}: {error}") from None
    network = DiffusionAD(model, size)
    check_fit(checkpoint, "reconstruction network", network.reconstructor.state_dict(), reference.unet)
    check_fit(checkpoint, "segmentation network", network.segmenter.state_dict(), reference.segmenter)
    network.reconstructor.load_state_dict(reference.unet)
    network.segmenter.load_state_dict(reference.segmenter)
    config = DetectorConfig(
        dataset="reference",
        category=checkpoint.absolute().parent.name,  # the authors' folder is named by the class
        manifest="",
        image_size=size,
        seed=0,
        threshold=THRESHOLD,
        model=model,
    )
    with atomic_folder(folder) as draft:
        Detector(network, config).save(draft)
    LOG.info("%s: %d x %d px, %s weights", folder, *size, f"{sum(p.numel() for p in network.parameters()):,}")
    return config


def _published(params: Path, paper: Path) -> DiffusionADConfig:
    with tempfile.TemporaryDirectory() as place:
        laid_over = copy_settings(params, Path(place))
        lay_over(paper, laid_over)
        return read_settings(DiffusionADConfig, detector_file(KIND, laid_over), {"kind": KIND})


def _size(args: dict[str, Any]) -> tuple[int, int]:
    height, width = args["img_size"]
    return int(height), int(width)


def _model(published: DiffusionADConfig, reference: Reference, size: tuple[int, int]) -> DiffusionADConfig:
    args = reference.args
    multipliers = args.get("channel_mults") or MULTIPLIERS.get(size[0])
    if multipliers is None:
        raise ValueError(f"its images are {size[0]} px; the authors' network knows {', '.join(map(str, MULTIPLIERS))}")
    if args["beta_schedule"] != "linear":
        raise ValueError(f"its noise schedule is `{args['beta_schedule']}`; only `linear` can be imported")
    settings = published.model_dump(mode="json")
    settings["schedule"]["num_timesteps"] = args["T"]
    settings["guidance"] |= {
        "t_s": args["eval_normal_t"],
        "t_b": args["eval_noisier_t"],
        "tau": args["less_t_range"],
        "scale": args["condition_w"],
    }
    settings["unet"] |= {
        "base_channels": args["base_channels"],
        "channel_multipliers": list(multipliers),
        "num_heads": args["num_heads"],
    }
    settings["segmenter"]["base_channels"] = len(reference.segmenter["encoder.0.0.weight"])
    settings["top_k_fraction"] = TOP_K / (size[0] * size[1])
    return DiffusionADConfig.model_validate(settings, strict=False)
