"""A trained model as one function of images and noise, with all that does not depend on them worked out before.

The two noise levels go through the denoiser as one batch, guidance is the closed form (`diffusion.guidance.blend`),
what the fixed timesteps add inside the U-Net is computed once, and batch normalisation is folded into the convolution
before it.
"""

import copy
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from diffusionad.diffusion.guidance import guide
from diffusionad.model import DiffusionAD, ModelConfig, Paradigm
from diffusionad.networks.layout import memory_format
from diffusionad.networks.unet import Shifts, UNet

LEVELS: dict[Paradigm | None, int] = {"autoencoder": 0, "one_step": 1, "norm_guided": 2}
"""Noise levels of the paradigms that take a fixed, small number of passes; the walks are not made into one function."""


def is_fixed(config: ModelConfig, paradigm: Paradigm | None) -> bool:
    """Whether a model reconstructs by a few passes at timesteps that are known before it sees an image."""
    return paradigm in LEVELS and not (paradigm == "norm_guided" and config.guidance.t_s_range is not None)


class Output(NamedTuple):
    """What the networks say of B images."""

    mask_logits: Tensor
    """(B, H, W); above 0 means more likely anomalous than not."""
    reconstruction: Tensor
    """(B, 3, H, W), in [0, 1]."""


class Pipeline(nn.Module):
    """Images and noise -> mask logits and reconstruction, on the device of the model.

    Args:
        model: In evaluation mode; its weights are shared, except those that are folded.
        paradigm: One that `is_fixed`.
    """

    signal: Tensor
    deviation: Tensor

    def __init__(self, model: DiffusionAD, paradigm: Paradigm) -> None:
        super().__init__()
        self.model = _folded(model)
        guidance, schedule = model.config.guidance, model.schedule
        self.timesteps = (guidance.t_s, guidance.t_b)[: LEVELS[paradigm]]
        like = next(model.parameters())
        alphas_bar = schedule.alphas_bar[list(self.timesteps)].reshape(-1, 1, 1, 1, 1)  # (levels, 1, 1, 1, 1)
        self.register_buffer("signal", alphas_bar.sqrt().to(like), persistent=False)
        self.register_buffer("deviation", (1 - alphas_bar).sqrt().to(like), persistent=False)
        self.weight = guidance.scale * float(1 - schedule.alphas_bar[guidance.t_s])
        self.dtype = like.dtype
        self.shifts: Shifts = {}
        if isinstance(self.model.reconstructor, UNet):
            with torch.no_grad():
                t = torch.tensor(self.timesteps, device=like.device)
                self.shifts = self.model.reconstructor.shifts(t, like.dtype)

    def forward(self, images: Tensor, noise: Tensor) -> Output:
        """Reconstruct and segment.

        Args:
            images: In [0, 1], shape (B, 3, H, W).
            noise: Standard normal, one for each of `timesteps`, shape (levels, B, 3, H, W).
        """
        x_0 = self.model.to_range(images)
        x_0_hat = self._reconstruct(x_0, noise)
        mask_logits = self.model.segment(x_0.to(self.dtype), x_0_hat.to(self.dtype))[:, 0]
        return Output(mask_logits.to(x_0), self.model.from_range(x_0_hat))

    def in_bf16(self) -> "Pipeline":
        """A copy whose networks hold bf16 numbers; what is around them (noise, guidance) stays in float32."""
        twin = copy.deepcopy(self)
        twin.model.bfloat16()
        twin.shifts = {block: shift.bfloat16() for block, shift in twin.shifts.items()}
        twin.dtype = torch.bfloat16
        return twin

    def _reconstruct(self, x_0: Tensor, noise: Tensor) -> Tensor:
        reconstructor = self.model.reconstructor
        if not isinstance(reconstructor, UNet):
            x_0_hat: Tensor = reconstructor(x_0.to(self.dtype)).to(x_0)
            return x_0_hat.clamp(-1, 1)
        x_t = self.signal * x_0[None] + self.deviation * noise  # eq. (1), (levels, B, C, H, W)
        both = _laid_out(x_t.flatten(0, 1)).to(self.dtype)
        predicted = reconstructor.predict(both, self._for_batch(x_0)).to(x_t).reshape(x_t.shape)
        x_0_hats = predicted  # where the net predicts the clean image, there and back through the noise changes nothing
        if self.model.config.prediction == "epsilon":
            x_0_hats = (x_t - self.deviation * predicted) / self.signal  # eq. (6)
        if len(self.timesteps) == 1:
            return x_0_hats[0].clamp(-1, 1)
        return guide(self.weight, self.model.config.guidance.local, x_0, x_0_hats[0], x_0_hats[1])

    def _for_batch(self, x_0: Tensor) -> dict[nn.Module, Tensor]:
        batch, levels = x_0.shape[0], len(self.timesteps)
        return {
            block: shift[:, None].expand(levels, batch, shift.shape[1]).reshape(levels * batch, shift.shape[1])
            for block, shift in self.shifts.items()
        }


def image_score(mask_logits: Tensor, top_k_fraction: float) -> Tensor:
    """Mean anomaly of the highest pixels (section IV-E), float64 in [0, 1], shape (B,).

    Args:
        mask_logits: Shape (B, H, W).
        top_k_fraction: Share of the pixels that count; at least one does. The paper takes 50 of 256 x 256.
    """
    pixels = mask_logits.flatten(1)
    k = max(1, round(top_k_fraction * int(pixels.shape[1])))
    # float64: in float32 the sigmoid of a sure pixel is 1, and sure images could not be told apart.
    return torch.sigmoid(pixels.topk(k).values.double()).mean(dim=1)


def _laid_out(x: Tensor) -> Tensor:
    return x if torch.onnx.is_in_onnx_export() else x.contiguous(memory_format=memory_format(x.device))


def _folded(model: DiffusionAD) -> DiffusionAD:
    """A model that shares all weights but those of convolutions followed by batch normalisation."""
    memo = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    folded = copy.deepcopy(model, memo)
    for module in folded.modules():
        children = list(module.named_children())
        # In a Sequential one follows the other; so it does where a module has nothing but the two.
        if not isinstance(module, nn.Sequential) and len(children) != 2:  # noqa: PLR2004
            continue
        for (name, before), (next_name, after) in pairwise(children):
            if isinstance(before, nn.Conv2d) and isinstance(after, nn.BatchNorm2d):
                setattr(module, name, fuse_conv_bn_eval(before, after))
                setattr(module, next_name, nn.Identity())
    return folded
