"""Checkpoints of the authors' public implementation: its names of weights, translated into ours."""

import re
from collections.abc import Callable, Mapping

from torch import Tensor

Rules = tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...]
"""Patterns in the authors' names, and what stands there in ours; applied one after the other."""

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


def unet_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """State dict of our UNet from that of the authors' U-Net.

    Example:
        >>> list(unet_state({"down.1.0.in_layers.2.weight": Tensor()}))
        ['down.0.0.conv_1.weight']
    """
    return {_translate(key, UNET_RULES): value for key, value in state.items()}


def segmenter_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """State dict of our Segmenter from that of the authors' segmentation network.

    Example:
        >>> list(segmenter_state({"encoder_segment.block1.0.weight": Tensor()}))
        ['encoder.0.0.weight']
    """
    return {_translate(key, SEGMENTER_RULES): value for key, value in state.items()}


def _translate(key: str, rules: Rules) -> str:
    for pattern, replacement in rules:
        key = re.sub(pattern, replacement, key)
    return key
