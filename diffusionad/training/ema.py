"""Weights averaged over training steps, which vary less than those of the last step."""

from typing import TypedDict

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


class AverageState(TypedDict):
    """The state that resuming needs."""

    updates: int
    state: dict[str, Tensor]


class AveragedWeights:
    """Exponential moving average of the parameters and the running statistics of a module.

    Args:
        module: Module whose weights are averaged.
        decay: Weight of the past at each update, in [0, 1). It starts at 1/10 and rises with the updates, so that the
            random initial weights are soon forgotten.
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
        # All at once: on a GPU, one call per tensor costs more than the arithmetic.
        move = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]  # torch leaves it untyped
        move([self.state[name] for name in drifting], [present[name] for name in drifting], self.updates)
        for name in present.keys() - set(drifting):
            self.state[name].copy_(present[name])

    def state_dict(self) -> AverageState:
        """Return the state that resuming needs; its tensors are the live ones, as those of a torch module."""
        return {"updates": self.updates, "state": self.state}

    def load_state_dict(self, state: AverageState) -> None:
        """Restore the result of `state_dict`, on the device of this average."""
        self.updates = state["updates"]
        # Copied: the next update writes in place and must not change the tensors of `state`. New tensors: those of an
        # earlier phase may have had another shape.
        self.state = {name: state["state"][name].to(value.device, copy=True) for name, value in self.state.items()}
