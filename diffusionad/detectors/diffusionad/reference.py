"""Read checkpoints of the authors' public implementation without running code, and rename their weights to ours."""

import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from diffusionad.networks.renaming import Rules, rename

UNET_KEY, SEGMENTER_KEY, ARGS_KEY = "unet_model_state_dict", "seg_model_state_dict", "args"
MULTIPLIERS = {256: (1, 1, 2, 2, 4, 4), 128: (1, 1, 2, 3, 4), 64: (1, 2, 3, 4), 32: (1, 2, 3, 4)}
"""Channels of each level of the authors' U-Net by the image's side, where their `args` do not say."""

UNET_RULES: Rules = (
    (r"^time_embedding\.1\.", "time.0."),
    (r"^time_embedding\.3\.", "time.2."),
    (r"^down\.0\.0\.", "first."),
    # The authors count the first convolution as block 0 of the way down; here it stands alone.
    (r"^down\.(\d+)\.", lambda m: f"down.{int(m[1]) - 1}."),
    (r"^out\.0\.", "last.0."),
    (r"^out\.2\.", "last.2."),
    (r"in_layers\.0\.", "norm_1."),
    (r"in_layers\.2\.", "conv_1."),
    (r"embed_layers\.1\.", "time."),
    (r"out_layers\.0\.", "norm_2."),
    (r"out_layers\.3\.", "conv_2."),
    (r"skip_connection\.", "skip."),
    (r"proj_out\.", "out."),
)
SEGMENTER_RULES: Rules = (
    (r"^encoder_segment\.block(\d)\.", lambda m: f"encoder.{int(m[1]) - 1}."),
    (r"^decoder_segment\.up_b\.(\d)\.", lambda m: f"up.0.{int(m[1]) - 1}."),
    (r"^decoder_segment\.db_b\.", "decoder.0."),
    (r"^decoder_segment\.up(\d)\.(\d)\.", lambda m: f"up.{m[1]}.{int(m[2]) - 1}."),
    (r"^decoder_segment\.db(\d)\.", r"decoder.\1."),
    (r"^decoder_segment\.fin_out\.0\.", "last."),
)


class Reference(NamedTuple):
    """The content of a checkpoint of the authors."""

    unet: dict[str, Tensor]
    """Weights of the U-Net, under our names."""
    segmenter: dict[str, Tensor]
    """Weights of the segmenter, under our names."""
    args: dict[str, Any]
    """The authors' settings, under their names (args1.json)."""


def read_reference(path: Path) -> Reference:
    """Read params-last.pt or params-best.pt as the authors' train.py writes it.

    Raises:
        ValueError: If there is no such file, it is not a checkpoint of torch, it would run code, or it lacks a part.
    """
    # The settings are a defaultdict, which torch's safe reader refuses: it is given a plain dict in its place.
    harmless: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
        (_plain_dict, "collections.defaultdict"),
        (str, "builtins.str"),
        (str, "__builtin__.str"),
    ]
    try:
        with torch.serialization.safe_globals(harmless):
            state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise ValueError(f"{path}: not found; expected params-last.pt or params-best.pt of the authors' code") from None
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"{path}: holds more than weights and settings, and is not read ({_first_line(error)})"
        ) from None
    except (RuntimeError, EOFError, OSError, KeyError, ValueError) as error:
        raise ValueError(f"{path}: not a checkpoint of torch ({_first_line(error)})") from None
    found = list(state) if isinstance(state, dict) else type(state).__name__
    wanted = (UNET_KEY, SEGMENTER_KEY, ARGS_KEY)
    if not isinstance(state, dict) or any(not isinstance(state.get(key), dict) for key in wanted):
        raise ValueError(f"{path}: not a checkpoint of the authors' code: expected {', '.join(wanted)}, got {found}")
    return Reference(unet_state(state[UNET_KEY]), segmenter_state(state[SEGMENTER_KEY]), state[ARGS_KEY])


def check_fit(path: Path, name: str, expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> None:
    """Refuse weights that are not those of the network expected.

    Raises:
        ValueError: If a weight is missing, unknown or of another shape; one line that names the first of each kind.
    """
    faults = []
    for fault, keys in (("missing", expected.keys() - found.keys()), ("unknown", found.keys() - expected.keys())):
        if keys:
            faults.append(f"{len(keys)} {fault} (`{min(keys)}`)")
    shapes = [key for key in sorted(expected.keys() & found.keys()) if expected[key].shape != found[key].shape]
    if shapes:
        sizes = f"{tuple(found[shapes[0]].shape)}, expected {tuple(expected[shapes[0]].shape)}"
        faults.append(f"{len(shapes)} of another shape (`{shapes[0]}` is {sizes})")
    if faults:
        raise ValueError(f"{path}: its {name} is not the one that its `args` describe: {', '.join(faults)}")


def _plain_dict(*_factory: object) -> dict[str, Any]:
    return {}


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].strip()[:200]


def unet_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the state dict of our UNet from that of the authors' U-Net.

    Example:
        >>> list(unet_state({"down.1.0.in_layers.2.weight": Tensor()}))
        ['down.0.0.conv_1.weight']
    """
    return rename(state, UNET_RULES)


def segmenter_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the state dict of our Segmenter from that of the authors' segmentation network.

    Example:
        >>> list(segmenter_state({"encoder_segment.block1.0.weight": Tensor()}))
        ['encoder.0.0.weight']
    """
    return rename(state, SEGMENTER_RULES)
