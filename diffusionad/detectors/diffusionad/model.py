"""The whole of DiffusionAD: reconstruction, then segmentation (arXiv:2303.08730, section IV)."""

from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

import torch
from pydantic import Field, model_validator
from torch import Tensor

from diffusionad.base import Mode, Noise, Output
from diffusionad.detectors.diffusionad.adaptive import image_error, reconstruct_adaptively
from diffusionad.detectors.diffusionad.form import GuidedForm
from diffusionad.detectors.diffusionad.guidance import GuidanceConfig, Reconstruction, one_step, reconstruct
from diffusionad.detectors.shared.joint import (
    JointConfig,
    JointModel,
    JointTraining,
    LearningRates,
    SegmentationLossConfig,
    segmentation_losses,
)
from diffusionad.diffusion.process import q_sample
from diffusionad.diffusion.samplers import ancestral, ddim, ddim_timesteps
from diffusionad.diffusion.schedule import NoiseSchedule, ScheduleConfig
from diffusionad.networks.losses import normal_mse
from diffusionad.networks.unet import UNet, UNetConfig

ModeName = Literal["norm_guided", "one_step", "ddim", "iterative"]
"""How an image is reconstructed (Table VII); all share the weights of one U-Net."""


class LossConfig(SegmentationLossConfig):
    """Part `loss`, eqs. (9) to (11)."""

    noise_weight: float = Field(ge=0, description="weight of the noise loss; the authors' code has 1, the paper 1/2")
    snr_limit: float | None = Field(
        gt=0,
        description="where the signal-to-noise ratio of a timestep is above it, its noise loss weighs limit / SNR "
        "(min-SNR, arXiv:2303.09556); null weighs all timesteps the same, as in the paper",
    )


class DiffusionADConfig(JointConfig):
    """params/detectors/diffusionad.yaml."""

    kind: Literal["diffusionad"]
    mode: ModeName = Field(description="how images are reconstructed, in training and at inference")
    prediction: Literal["epsilon", "x_0"] = Field(
        description="what the U-Net predicts: the noise, as in the paper, or the clean image, which gives the noise; "
        "a narrow net cannot pass on the noise of every pixel, but it can draw a clean image"
    )
    schedule: ScheduleConfig
    guidance: GuidanceConfig
    ddim_steps: int = Field(gt=0, description="denoising steps of `ddim`; the paper has 30")
    unet: UNetConfig
    checkpointing: bool = Field(
        description="whether the U-Net keeps no activations inside its blocks and computes them again going backward: "
        "a third more work, a fraction of the memory"
    )
    reconstruction_dropout: float = Field(
        ge=0,
        le=1,
        description="share of training images for which the segmenter sees the image itself as reconstruction, "
        "so that it learns to do without; 0 in the paper",
    )
    learning_rates: LearningRates
    loss: LossConfig

    @model_validator(mode="after")
    def _timesteps_in_order(self) -> "DiffusionADConfig":
        steps = self.schedule.num_timesteps
        if not self.guidance.t_s < self.guidance.t_b < steps:
            raise ValueError(f"guidance needs t_s < t_b < num_timesteps, got {self.guidance} with {steps} timesteps")
        if not self.guidance.tau < steps:
            raise ValueError(f"guidance.tau must be below num_timesteps, got {self.guidance.tau} and {steps}")
        t_s_range = self.guidance.t_s_range
        if t_s_range is not None and not t_s_range[0] <= t_s_range[1] < self.guidance.t_b:
            raise ValueError(
                f"guidance.t_s_range must rise and end below t_b, got {list(t_s_range)} with t_b={self.guidance.t_b}"
            )
        return self


class TrainingOutput(NamedTuple):
    """What the losses are computed from."""

    epsilon_hat_s: Tensor
    """Predicted noise at t_s, (B, C, H, W)."""
    epsilon_hat_b: Tensor
    """Predicted noise at t_b, (B, C, H, W)."""
    x_0: Tensor
    """The images in the model's value range, (B, C, H, W)."""
    x_0_hat: Tensor
    """Their reconstructions in the same range, (B, C, H, W)."""
    mask_logits: Tensor
    """(B, 1, H, W)."""


class DiffusionAD(JointModel):
    """Both sub-networks and the diffusion process between them.

    Args:
        config: Settings of the detector.
        image_size: (height, width) in pixels; every level of every network must divide it.

    Raises:
        ValueError: If a network cannot halve the image as often as its settings say.
    """

    config: DiffusionADConfig
    reconstructor: UNet
    normal_error_range: Tensor
    """(2,): the smallest and the largest of `errors` of normal images held out of training; zeros until calibrated."""

    def __init__(self, config: DiffusionADConfig, image_size: tuple[int, int]) -> None:
        halvings = {"unet": config.unet.stem * 2 ** (len(config.unet.channel_multipliers) - 1)}
        unet = UNet(config.unet, config.image_channels, image_size[1])
        unet.checkpointing = config.checkpointing
        super().__init__(config, image_size, unet, halvings)
        self.register_buffer("normal_error_range", torch.zeros(2))
        self.schedule = NoiseSchedule(config.schedule)

    @property
    def phases(self) -> tuple["NoiseAndMasks"]:
        """One phase: both networks together."""
        return (NoiseAndMasks(self),)

    @property
    def modes(self) -> dict[str, Mode]:
        """The four ways to reconstruct, the model's own first."""
        guidance = self.config.guidance
        walk = ddim_timesteps(guidance.t_b, self.config.ddim_steps)
        guided = None if guidance.t_s_range is not None else (guidance.t_s, guidance.t_b)
        modes = {
            "norm_guided": Mode(2, guided),
            "one_step": Mode(1, (guidance.t_s,)),
            "ddim": Mode(len(walk), None),
            "iterative": Mode(guidance.t_b + 1, None),
        }
        return {self.config.mode: modes[self.config.mode]} | modes

    def form(self, mode: str) -> GuidedForm | None:
        """The mode as one function; None where its timesteps depend on the image or there are many."""
        keys = self.modes[mode].noise_keys
        return None if keys is None else GuidedForm(self, keys)

    def denoise(self, x_t: Tensor, t: Tensor) -> Tensor:
        """epsilon_theta: predict the noise in x_t of shape (B, C, H, W) at timesteps t of shape (B,)."""
        predicted: Tensor = self.reconstructor(x_t, t)
        if self.config.prediction == "epsilon":
            return predicted
        alpha_bar_t = self.schedule.alpha_bar(t, like=x_t)
        return (x_t - alpha_bar_t.sqrt() * predicted) / (1 - alpha_bar_t).sqrt()  # eq. (1), solved for epsilon

    def forward(self, images: Tensor, draws: Mapping[str, Tensor], denoise_mask: Tensor) -> TrainingOutput:
        """One pass of joint training over images.

        The segmentation loss reaches the reconstruction, as in the paper; through `iterative` and `ddim` it does not,
        since hundreds of steps cannot be kept for a backward pass.

        Args:
            images: Images in [0, 1], shape (B, C, H, W).
            draws: Result of `NoiseAndMasks.draw`, on the CPU.
            denoise_mask: Whether each image is denoised, bool, shape (B,), on the CPU; no loss depends on the
                reconstruction of the others.
        """
        x_0 = self.to_range(images)
        epsilon_s, epsilon_b = draws["epsilon_s"].to(x_0), draws["epsilon_b"].to(x_0)
        dropped = draws["dropout_mask"].to(x_0.device).reshape(-1, 1, 1, 1)
        guided = reconstruct(
            self.denoise,
            self.schedule,
            self.config.guidance.scale if self.config.mode == "norm_guided" else 0.0,
            x_0[denoise_mask],
            draws["t_s"][denoise_mask],
            draws["t_b"][denoise_mask],
            epsilon_s[denoise_mask],
            epsilon_b[denoise_mask],
            self.config.guidance.local,
        )
        # Where no loss depends on the result: the image itself, and the drawn noise.
        guided = Reconstruction(
            *(_put(*pair, denoise_mask) for pair in zip(guided, (x_0, epsilon_s, epsilon_b), strict=True))
        )
        x_0_hat = guided.x_0_hat
        if self.config.mode in ("iterative", "ddim"):
            generator = torch.Generator().manual_seed(int(draws["t_b"].sum()))
            with torch.no_grad():
                x_0_hat = self.walk(x_0, _Drawn(x_0, generator), self.config.mode)
        mask_logits = self.segment(x_0, torch.where(dropped, x_0, x_0_hat))
        return TrainingOutput(guided.epsilon_hat_s, guided.epsilon_hat_b, x_0, x_0_hat, mask_logits)

    def infer(self, images: Tensor, noise: Noise, mode: str) -> Output:
        """Reconstruct and segment images in [0, 1], shape (B, C, H, W)."""
        form = self.form(mode)
        if form is not None:
            output: Output = form(images, torch.stack([noise(key) for key in form.noise_keys]))
            return output
        x_0 = self.to_range(images)
        x_0_hat = self._adaptively(x_0, noise) if mode == "norm_guided" else self.walk(x_0, noise, mode)
        return Output(self.segment(x_0, x_0_hat)[:, 0], self.from_range(x_0_hat))

    def walk(self, x_0: Tensor, noise: Noise, mode: str) -> Tensor:
        """Reconstruct x_0, in the model's value range, by many steps down from t_b; clamped to [-1, 1].

        Args:
            x_0: Images, shape (B, C, H, W).
            noise: Source of the noise: key t_b is that of the forward process, key -1 - t that of the random step down
                from t.
            mode: ddim or iterative.
        """
        t_b = self.config.guidance.t_b
        x_t = q_sample(self.schedule, x_0, torch.full((len(x_0),), t_b), noise(t_b))
        if mode == "ddim":
            return ddim(self.denoise, self.schedule, x_t, ddim_timesteps(t_b, self.config.ddim_steps))
        return ancestral(self.denoise, self.schedule, x_t, t_b, lambda step: noise(-1 - step))

    def calibrate(self, batches: Iterable[tuple[Tensor, Noise]]) -> None:
        """Measure the range of errors by which t_s is chosen from `guidance.t_s_range`.

        It is measured even without a range, so that the same weights can be run both ways.
        """
        errors = torch.cat([self.errors(images, noise) for images, noise in batches])
        self.normal_error_range.copy_(torch.stack(errors.aminmax()))

    def errors(self, images: Tensor, noise: Noise) -> Tensor:
        """Compute the errors, shape (B,), of the reconstructions from t_b of images in [0, 1], shape (B, C, H, W)."""
        x_0, t_b = self.to_range(images), self.config.guidance.t_b
        t = torch.full((len(x_0),), t_b)
        return image_error(x_0, one_step(self.denoise, self.schedule, x_0, t, noise(t_b)))

    def _adaptively(self, x_0: Tensor, noise: Noise) -> Tensor:
        guidance = self.config.guidance
        # A key only names a draw of noise; where all images have one t_s, it is also the timestep.
        epsilon_s, epsilon_b = noise(guidance.t_s), noise(guidance.t_b)
        return reconstruct_adaptively(
            self.denoise, self.schedule, guidance, self.normal_error_range, x_0, epsilon_s, epsilon_b
        )


class NoiseAndMasks(JointTraining):
    """Joint training, section IV-D: predicted noise at two scales, and masks."""

    def __init__(self, model: DiffusionAD) -> None:
        super().__init__(model, model.config.learning_rates.model_dump())
        self.model, self.config = model, model.config

    def draw(self, batch: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Draw t_s in [0, tau), t_b in [tau, T), both noises, and whether the segmenter sees the reconstruction."""
        shape = (batch, self.config.image_channels, *self.model.image_size)
        tau, steps = self.config.guidance.tau, self.config.schedule.num_timesteps
        return {
            "t_s": torch.randint(0, tau, (batch,), generator=generator),
            "t_b": torch.randint(tau, steps, (batch,), generator=generator),
            "epsilon_s": torch.randn(shape, generator=generator),
            "epsilon_b": torch.randn(shape, generator=generator),
            "dropout_mask": torch.rand(batch, generator=generator) < self.config.reconstruction_dropout,
        }

    def loss(self, images: Tensor, mask: Tensor, is_normal: Tensor, draws: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Compute the losses of one pass.

        An anomalous image whose reconstruction the segmenter does not see is not denoised: no loss depends on it.
        """
        output: TrainingOutput = self.model(images, draws, is_normal | ~draws["dropout_mask"])
        return self.losses(output, draws, mask, is_normal)

    def losses(
        self, output: TrainingOutput, draws: Mapping[str, Tensor], mask: Tensor, is_normal: Tensor
    ) -> dict[str, Tensor]:
        """Sum the losses, eq. (11): noise + smooth L1 + focal_weight * focal.

        Deviation: Eq. (9) halves the noise loss, the authors' code does not; `noise_weight` says which. Where a batch
        has no normal image, the authors' mean over none is NaN; here it is 0.

        Args:
            output: Result of `DiffusionAD.forward`.
            draws: The draws that it was given.
            mask: Ground truth {0, 1}, shape (B, 1, H, W).
            is_normal: Whether each image holds no anomaly, bool, shape (B,).

        Returns:
            Scalars: total; noise, the mean squared error of the predicted noise, summed over both noise scales, over
            normal images only; focal and smooth_l1, which are means over pixels. Only `total` carries a gradient.
        """
        config, is_normal = self.config.loss, is_normal.to(output.x_0.device)
        noise = self._noise_loss(output.epsilon_hat_s, draws["epsilon_s"], draws["t_s"], is_normal)
        noise = noise + self._noise_loss(output.epsilon_hat_b, draws["epsilon_b"], draws["t_b"], is_normal)
        smooth_l1, focal = segmentation_losses(config, output.mask_logits, mask)
        total = config.noise_weight * noise + smooth_l1 + config.focal_weight * focal
        return {"total": total, "noise": noise.detach(), "focal": focal.detach(), "smooth_l1": smooth_l1.detach()}

    def _noise_loss(self, epsilon_hat: Tensor, epsilon: Tensor, t: Tensor, is_normal: Tensor) -> Tensor:
        weight, limit = is_normal.float(), self.config.loss.snr_limit
        if limit is not None:
            weight = weight * (limit / self.model.schedule.snr(t, like=weight)).clamp(max=1)
        return normal_mse(epsilon_hat, epsilon.to(epsilon_hat.device), weight, is_normal)


class _Drawn:
    """Noise for a walk in training, which need not depend on the images."""

    def __init__(self, like: Tensor, generator: torch.Generator) -> None:
        self._like, self._generator = like, generator

    def __call__(self, key: int) -> Tensor:  # noqa: ARG002  # every draw is a new one
        return torch.randn(self._like.shape, generator=self._generator).to(self._like)

    def generators(self, key: int) -> list[torch.Generator]:  # noqa: ARG002
        return [self._generator] * len(self._like)


def _put(part: Tensor, whole: Tensor, where: Tensor) -> Tensor:
    """Return `whole` with `part` in the places `where`."""
    if bool(where.all()):
        return part
    return whole.to(part.dtype).index_put((where.to(part.device),), part)


CONFIG, MODEL = DiffusionADConfig, DiffusionAD
