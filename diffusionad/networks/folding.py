"""Networks for inference: batch normalisation becomes part of the convolution before it."""

import copy
from itertools import pairwise
from typing import TypeVar

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

M = TypeVar("M", bound=nn.Module)


def folded(model: M) -> M:
    """A copy in evaluation mode that shares all weights but those of convolutions followed by batch normalisation."""
    memo = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    twin = copy.deepcopy(model, memo)
    for module in twin.modules():
        children = list(module.named_children())
        # In a Sequential one follows the other; so it does where a module has nothing but the two.
        if not isinstance(module, nn.Sequential) and len(children) != 2:  # noqa: PLR2004
            continue
        for (name, before), (next_name, after) in pairwise(children):
            if isinstance(before, nn.Conv2d) and isinstance(after, nn.BatchNorm2d):
                setattr(module, name, fuse_conv_bn_eval(before, after))
                setattr(module, next_name, nn.Identity())
    return twin
