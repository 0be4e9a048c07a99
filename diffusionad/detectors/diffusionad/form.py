"""DiffusionAD as one function of images and noise, with everything that does not depend on them computed in advance.

The noise levels go through the denoiser as one batch, guidance is the closed form (`guidance.blend`), what the fixed
timesteps add inside the U-Net is computed once, and batch normalisation is folded into the convolution before it.
"""

import copy
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from diffusionad.base import Form, Output
from diffusionad.detectors.diffusionad.guidance import blend_weight, guide
from diffusionad.networks.folding import folded
from diffusionad.networks.layout import memory_format

if TYPE_CHECKING:
    from diffusionad.detectors.diffusionad.model import DiffusionAD
    from diffusionad.networks.unet import Shifts


class GuidedForm(Form):
    """Images and noise -> mask logits and reconstruction, on the device of the model.

    Args:
        model: A model in evaluation mode; its weights are shared, except those that are folded.
        timesteps: (t_s, t_b) for norm guidance, or (t,) for one step.
    """

    signal: Tensor
    deviation: Tensor

    def __init__(self, model: "DiffusionAD", timesteps: tuple[int, ...]) -> None:
        super().__init__(model, timesteps)
        self.model = folded(model)
        guidance, schedule = model.config.guidance, model.schedule
        like = next(model.parameters())
        alphas_bar = schedule.alphas_bar[list(timesteps)].reshape(-1, 1, 1, 1, 1)  # (levels, 1, 1, 1, 1)
        self.register_buffer("signal", alphas_bar.sqrt().to(like), persistent=False)
        self.register_buffer("deviation", (1 - alphas_bar).sqrt().to(like), persistent=False)
        # A Python number: the tracer stores it as a constant.
        self.weight = float(blend_weight(schedule, guidance.scale, torch.tensor([timesteps[0]]), like=alphas_bar))
        self.dtype = like.dtype
        with torch.no_grad():
            t = torch.tensor(timesteps, device=like.device)
            self.shifts: Shifts = self.model.reconstructor.shifts(t, like.dtype)

    def forward(self, images: Tensor, noise: Tensor) -> Output:
        """Reconstruct and segment; shapes are those of `Form`."""
        x_0 = self.model.to_range(images)
        x_0_hat = self._reconstruct(x_0, noise)
        mask_logits = self.model.segment(x_0.to(self.dtype), x_0_hat.to(self.dtype))[:, 0]
        return Output(mask_logits.to(x_0), self.model.from_range(x_0_hat))

    def in_bf16(self) -> "GuidedForm":
        """A copy whose networks compute in bf16; what is around them (noise, guidance) stays in float32."""
        twin = copy.deepcopy(self)
        twin.model.bfloat16()
        twin.shifts = {block: shift.bfloat16() for block, shift in twin.shifts.items()}
        twin.dtype = torch.bfloat16
        return twin

    def _reconstruct(self, x_0: Tensor, noise: Tensor) -> Tensor:
        x_t = self.signal * x_0[None] + self.deviation * noise  # eq. (1), (levels, B, C, H, W)
        both = _laid_out(x_t.flatten(0, 1)).to(self.dtype)
        predicted = self.model.reconstructor.predict(both, self._for_batch(x_0)).to(x_t).reshape(x_t.shape)
        x_0_hats = predicted  # where the network predicts the clean image, eqs. (1) and (6) cancel
        if self.model.config.prediction == "epsilon":
            x_0_hats = (x_t - self.deviation * predicted) / self.signal  # eq. (6)
        if len(self.noise_keys) == 1:
            return x_0_hats[0].clamp(-1, 1)
        return guide(self.weight, self.model.config.guidance.local, x_0, x_0_hats[0], x_0_hats[1])

    def _for_batch(self, x_0: Tensor) -> dict[nn.Module, Tensor]:
        batch, levels = x_0.shape[0], len(self.noise_keys)
        return {
            block: shift[:, None].expand(levels, batch, shift.shape[1]).reshape(levels * batch, shift.shape[1])
            for block, shift in self.shifts.items()
        }


def _laid_out(x: Tensor) -> Tensor:
    return x if torch.onnx.is_in_onnx_export() else x.contiguous(memory_format=memory_format(x.device))
