"""The noise schedule of a diffusion process: Ho et al., arXiv:2006.11239, section 4."""

import torch
from pydantic import Field
from torch import Tensor

from diffusionad.section import Section


class ScheduleConfig(Section):
    """Part `schedule` of the settings of a detector: a linear noise schedule."""

    num_timesteps: int = Field(gt=0, description="T, the number of timesteps")
    beta_start: float = Field(gt=0, lt=1, description="beta at t = 0, for T = 1000; scaled by 1000 / T")
    beta_end: float = Field(gt=0, lt=1, description="beta at t = T - 1, for T = 1000; scaled by 1000 / T")


class NoiseSchedule:
    """beta_t and alpha_bar_t for t = 0 .. T - 1; t = 0 is one step of noise, not none.

    Both are stored in float64 on the CPU and returned in the type and on the device of the images.

    Example:
        >>> schedule = NoiseSchedule(ScheduleConfig(num_timesteps=1000, beta_start=1e-4, beta_end=2e-2))
        >>> round(float(schedule.alphas_bar[200]), 4)
        0.6563

    Raises:
        ValueError: If a beta, scaled to the number of timesteps, is not below 1.
    """

    def __init__(self, config: ScheduleConfig) -> None:
        scale = 1000 / config.num_timesteps
        # float64: the product of 1000 factors near 1 loses four digits in float32.
        self.betas = torch.linspace(
            config.beta_start * scale, config.beta_end * scale, config.num_timesteps, dtype=torch.float64, device="cpu"
        )
        if not float(self.betas.max()) < 1:
            raise ValueError(
                f"schedule: beta {float(self.betas.max()) / scale:g} scaled by 1000 / {config.num_timesteps} is not "
                "below 1; use more timesteps or a smaller beta"
            )
        self.alphas_bar = torch.cumprod(1 - self.betas, dim=0)

    def beta(self, t: Tensor, like: Tensor) -> Tensor:
        """Return beta_t, shape (B, 1, 1, 1), for t of shape (B,), in the type and on the device of `like`."""
        return _pick(self.betas, t, like)

    def alpha_bar(self, t: Tensor, like: Tensor) -> Tensor:
        """Return alpha_bar_t, shape (B, 1, 1, 1), for t of shape (B,), in the type and on the device of `like`."""
        return _pick(self.alphas_bar, t, like)

    def snr(self, t: Tensor, like: Tensor) -> Tensor:
        """Return the signal-to-noise ratio alpha_bar_t / (1 - alpha_bar_t), shape (B,), for t of shape (B,).

        The result has the type and the device of `like`.
        """
        alpha_bar_t = self.alpha_bar(t, like)
        return (alpha_bar_t / (1 - alpha_bar_t)).flatten()


def _pick(table: Tensor, t: Tensor, like: Tensor) -> Tensor:
    return table[t.cpu()].to(like).reshape(-1, 1, 1, 1)
