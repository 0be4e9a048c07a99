"""Weights averaged over training steps: a steadier model than the last step's."""

from typing import TypedDict

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


class AverageState(TypedDict):
    """What resuming needs."""

    updates: int
    state: dict[str, Tensor]


class AveragedWeights:
    """Exponential moving average of the parameters and the running statistics of a module.

    Args:
        module: What is averaged.
        decay: Weight of the past at each update, in [0, 1). It starts lower, at 1/10, and rises with the updates, so
            that the random weights of the beginning are soon forgotten.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.updates = 0
        self.state = {name: value.detach().clone() for name, value in module.state_dict().items()}

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Move the average towards the present weights of `module`."""
        self.updates += 1
        decay = min(self.decay, self.updates / (self.updates + 9))
        present = module.state_dict()
        drifting = [name for name, value in present.items() if value.is_floating_point()]
        # All at once: on a GPU a call per tensor costs more than the arithmetic.
        move = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]  # torch leaves it untyped
        move([self.state[name] for name in drifting], [present[name] for name in drifting], self.updates)
        for name in present.keys() - set(drifting):
            self.state[name].copy_(present[name])

    def state_dict(self) -> AverageState:
        """What resuming needs; the tensors are the live ones, as those of a torch module."""
        return {"updates": self.updates, "state": self.state}

    def load_state_dict(self, state: AverageState) -> None:
        """Take over what `state_dict` gave, on the device of this average."""
        self.updates = state["updates"]
        # Copied: the next update writes in place, and must not reach whoever else holds these tensors.
        # Not into the present tensors: those of a phase before may have another shape now.
        self.state = {name: state["state"][name].to(value.device, copy=True) for name, value in self.state.items()}
