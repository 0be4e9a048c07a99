"""Training of one phase of a detector by gradient: steps, averaged weights, precision, resuming."""

import copy
import math
from typing import Any, Literal, NamedTuple

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from diffusionad.base import Model, Stepwise
from diffusionad.networks.layout import has_bf16, lay_out, memory_format
from diffusionad.section import Section
from diffusionad.training.ema import AveragedWeights
from diffusionad.training.share import WHOLE, Share, mean_over_processes, share_batch_norm


class TrainingConfig(Section):
    """Section `training` of params.yaml."""

    seed: int = Field(ge=0, description="seed of weights, batches, timesteps and noise")
    steps: int = Field(gt=0, description="optimiser steps")
    batch_size: int = Field(
        ge=2,
        multiple_of=2,
        description="images per step; where a detector trains on anomalies, half of them are anomalous",
    )
    accumulate: int = Field(gt=0, description="parts that a batch goes through the networks in, to save memory")
    flip_horizontal: bool = Field(
        description="mirror images left to right at random; off where left and right differ in meaning"
    )
    flip_vertical: bool = Field(description="mirror images top to bottom at random")
    warmup_fraction: float = Field(ge=0, lt=1, description="share of the steps in which the learning rates rise")
    final_learning_rate_fraction: float = Field(
        gt=0, le=1, description="learning rate at the end, as a share of the full one"
    )
    ema_decay: float = Field(ge=0, lt=1, description="decay of the averaged weights, which are the ones kept")
    gradient_clip: float = Field(gt=0, description="largest norm of the gradient over all networks")
    precision: Literal["auto", "fp32", "bf16"] = Field(
        description="precision of the forward pass; auto is bf16 on a GPU or a CPU with bf16 instructions, else fp32"
    )
    validate_every: int = Field(gt=0, description="steps between validations; the best one is kept")

    @model_validator(mode="after")
    def _parts_of_a_batch(self) -> "TrainingConfig":
        if self.batch_size % (2 * self.accumulate):
            raise ValueError(
                f"training.batch_size = {self.batch_size} cannot be accumulated from {self.accumulate} parts with as "
                f"many normal and anomalous images; expected a multiple of {2 * self.accumulate}"
            )
        return self


class Batch(NamedTuple):
    """The images of one step."""

    images: Tensor
    """Images in [0, 1], shape (B, C, H, W)."""
    mask: Tensor
    """Ground truth {0, 1}, float32, shape (B, 1, H, W)."""
    is_normal: Tensor
    """Whether each image holds no anomaly, bool, shape (B,)."""


class Trainer:
    """The state of one phase of training: networks, averaged weights, optimiser, step.

    All randomness of a step comes from the seed and the number of the step, so a training that was saved and loaded
    goes on as if it had never stopped.

    Args:
        model: Model to train, in place.
        phase: Phase of the model that is trained.
        config: Settings of the training.
        share: Share of each batch that this process takes. A share other than WHOLE needs torch.distributed to be
            initialised, and the same model in all processes.

    Raises:
        ValueError: If the batches cannot be shared evenly.
    """

    def __init__(self, model: Model, phase: Stepwise, config: TrainingConfig, share: Share = WHOLE) -> None:
        share.check(config.batch_size, config.accumulate)
        self.config = config
        self.model, self.phase = model, phase
        self.share = share
        if share.processes > 1:
            share_batch_norm(model)
        self._device = next(model.parameters()).device
        lay_out(model, self._device)
        self.average = AveragedWeights(self.model, config.ema_decay)
        self.step = 0
        groups = [
            {"params": list(group.parameters), "full_lr": group.learning_rate} for group in phase.groups().values()
        ]
        self.optimiser = torch.optim.Adam(groups)
        self._autocast = uses_bf16(config.precision, self._device)
        step = _Step(model, phase)
        # Averages the gradients over the processes; the statistics of batch normalisation are already the same in all.
        self._loss = DistributedDataParallel(step, forward_sync_buffers=False) if share.processes > 1 else step

    def train_step(self, batch: Batch) -> dict[str, Tensor]:
        """Take one step.

        Args:
            batch: The share of the batch that belongs to this process.

        Returns:
            The losses of the whole batch before the step, without a gradient.

        Raises:
            FloatingPointError: If the loss or its gradient is not finite. The parameters and the averaged weights are
                those before the step; the running statistics of the batch normalisation are not.
        """
        # Of the whole model: a gradient that an earlier phase left would count in the norm of this one.
        self.model.zero_grad(set_to_none=True)
        losses = self._backward(batch)
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.gradient_clip)
        if self.share.processes > 1:
            means = mean_over_processes(torch.stack(list(losses.values())))
            losses = dict(zip(losses, means.unbind(), strict=True))
        if not (math.isfinite(float(losses["total"])) and math.isfinite(float(norm))):
            parts = ", ".join(f"{name} {float(value):.4g}" for name, value in losses.items())
            raise FloatingPointError(
                f"step {self.step}: the loss or its gradient is not finite ({parts}, gradient {float(norm):.4g}); "
                "lower the learning rates"
            )
        for group in self.optimiser.param_groups:
            group["lr"] = group["full_lr"] * learning_rate_factor(self.config, self.step)
        self.optimiser.step()
        self.average.update(self.model)
        self.step += 1
        return losses

    def _backward(self, batch: Batch) -> dict[str, Tensor]:
        """Add up the gradients of the parts of a batch, which all have the same numbers of normal and anomalous images.

        The losses and gradients of the whole are the means over the parts, except that batch normalisation takes its
        statistics from each part.
        """
        count = self.config.accumulate
        parts = []
        for index in range(count):
            losses = self._losses(batch, slice(index, None, count))
            (losses["total"] / count).backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            parts.append({name: loss.detach() for name, loss in losses.items()})
        return {name: torch.stack([part[name] for part in parts]).mean() for name in parts[0]}

    def _losses(self, batch: Batch, part: slice) -> dict[str, Tensor]:
        self.model.train()
        seed = self.config.seed * 1_000_003 + self.step
        generator = torch.Generator().manual_seed(seed)
        drawn = self.phase.draw(len(batch.images) * self.share.processes, generator)
        draws = {name: values[self.share.slots][part] for name, values in drawn.items()}
        images = batch.images[part].to(self._device, memory_format=memory_format(self._device))
        mask, is_normal = batch.mask[part].to(self._device), batch.is_normal[part]
        # Dropout takes no generator: the global one is seeded for it, and its state is restored.
        with torch.random.fork_rng([self._device] if self._device.type == "cuda" else []):
            torch.manual_seed(seed + self.share.rank)
            with torch.autocast(self._device.type, torch.bfloat16, enabled=self._autocast):
                losses: dict[str, Tensor] = self._loss(images, mask, is_normal, draws)
        return losses

    def averaged_model(self) -> Model:
        """A copy of the model with the averaged weights, in evaluation mode."""
        model = copy.deepcopy(self.model)
        model.load_state_dict(self.average.state)
        model.eval()
        return model

    def state_dict(self) -> dict[str, Any]:
        """Return what resuming needs: tensors, numbers and dicts, which `torch.load(weights_only=True)` reads.

        The tensors are the live ones: save or copy them before the next step.
        """
        return {
            "step": self.step,
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the result of `state_dict`."""
        self.step = state["step"]
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])


class _Step(nn.Module):
    """The loss as a module that holds the model, as DistributedDataParallel needs it."""

    def __init__(self, model: Model, phase: Stepwise) -> None:
        super().__init__()
        self.model, self.phase = model, phase

    def forward(self, *step: Any) -> dict[str, Tensor]:  # noqa: ANN401  # the arguments of Stepwise.loss
        return self.phase.loss(*step)


def learning_rate_factor(config: TrainingConfig, step: int) -> float:
    """Compute the share, in (0, 1], of the full learning rate at `step`: a linear rise, then half a cosine down."""
    warmup = config.warmup_fraction * config.steps
    if step < warmup:
        return (step + 1) / (warmup + 1)
    progress = (step - warmup) / max(config.steps - warmup, 1)
    final = config.final_learning_rate_fraction
    return final + (1 - final) * (1 + math.cos(math.pi * progress)) / 2


def uses_bf16(precision: Literal["auto", "fp32", "bf16"], device: torch.device) -> bool:
    """Whether the forward pass runs under bf16 autocast.

    A CPU without bf16 instructions emulates them: 150 times slower than fp32 where it was measured.
    """
    if precision != "auto":
        return precision == "bf16"
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return has_bf16()
