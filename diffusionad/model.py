"""DiffusionAD whole: reconstruction, then segmentation (arXiv:2303.08730, section IV)."""

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from diffusionad.diffusion.adaptive import image_error, reconstruct_adaptively
from diffusionad.diffusion.guidance import GuidanceConfig, Reconstruction, one_step, reconstruct
from diffusionad.diffusion.process import q_sample
from diffusionad.diffusion.samplers import ancestral, ddim, ddim_timesteps
from diffusionad.diffusion.schedule import NoiseSchedule, ScheduleConfig
from diffusionad.networks.autoencoder import Autoencoder, AutoencoderConfig
from diffusionad.networks.feature_segmenter import FeatureSegmenter, FeatureSegmenterConfig
from diffusionad.networks.segmenter import Segmenter, SegmenterConfig
from diffusionad.networks.unet import UNet, UNetConfig
from diffusionad.section import Section

Paradigm = Literal["identity", "autoencoder", "iterative", "ddim", "one_step", "norm_guided"]
"""How an image is reconstructed (Table VII). The last four share the weights of one U-Net; `identity` takes the image
itself, a control: a model trained so is a segmenter alone, and one trained otherwise shows what it owes to the rest."""

DIFFUSIONS: tuple[Paradigm, ...] = ("norm_guided", "one_step", "ddim", "iterative")

Noise = Callable[[int], Tensor]
"""Standard normal noise of the shape of the images, drawn anew for each key.

Key t is the noise that takes the image to step t; key -1 - t is that of the random step down from t.
"""


class ModelConfig(Section):
    """Section `model` of params.yaml; a checkpoint holds it whole."""

    paradigm: Paradigm = Field(description="how images are reconstructed, in training and at inference")
    value_range: Literal["unit", "symmetric"] = Field(
        description="where the diffusion works: [0, 1], as the authors' code, or [-1, 1]; t_s and t_b go with it"
    )
    prediction: Literal["epsilon", "x_0"] = Field(
        description="what the U-Net predicts: the noise, as the paper, or the clean image, which gives the noise; "
        "a narrow net cannot pass on the noise of every pixel, but it can draw a clean image"
    )
    image_channels: int = Field(gt=0, description="3 for RGB")
    schedule: ScheduleConfig
    guidance: GuidanceConfig
    ddim_steps: int = Field(gt=0, description="denoising steps of `ddim`; the paper has 30")
    unet: UNetConfig
    autoencoder: AutoencoderConfig
    segmenter_sees: Literal["pixels", "features"] = Field(
        description="pixels of image and reconstruction, as the paper, through `segmenter`; or what a network that "
        "was trained on ImageNet makes of both, through `feature_segmenter`"
    )
    segmenter: SegmenterConfig
    feature_segmenter: FeatureSegmenterConfig
    reconstruction_dropout: float = Field(
        ge=0,
        le=1,
        description="share of training images for which the segmenter sees the image itself as reconstruction, "
        "so that it learns to do without; 0 as the paper",
    )
    top_k_fraction: float = Field(
        gt=0, le=1, description="share of the pixels whose mean is the image score; the paper has 50 of 256 x 256"
    )

    @model_validator(mode="after")
    def _timesteps_in_order(self) -> "ModelConfig":
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

    @model_validator(mode="after")
    def _features_of_colour(self) -> "ModelConfig":
        if self.segmenter_sees == "features" and self.image_channels != 3:  # noqa: PLR2004  # RGB
            raise ValueError(f"segmenter_sees `features` needs image_channels 3, got {self.image_channels}")
        return self


class Draws(NamedTuple):
    """The randomness of one training step."""

    t_s: Tensor
    """(B,), int64, in [0, tau)."""
    t_b: Tensor
    """(B,), int64, in [tau, T)."""
    epsilon_s: Tensor
    """(B, C, H, W)."""
    epsilon_b: Tensor
    """(B, C, H, W)."""
    is_dropped: Tensor
    """(B,), bool: the segmenter does not see the reconstruction."""
    is_needed: Tensor
    """(B,), bool: the loss looks at what the denoiser makes of the image; of the others it need not make anything."""


class TrainingOutput(NamedTuple):
    """What the losses are made of."""

    epsilon_hat_s: Tensor | None
    """Predicted noise at t_s; None for the autoencoder."""
    epsilon_hat_b: Tensor | None
    """Predicted noise at t_b; None for the autoencoder."""
    snr_s: Tensor | None
    """Signal-to-noise ratio alpha_bar_t / (1 - alpha_bar_t) at t_s, (B,); None for the autoencoder."""
    snr_b: Tensor | None
    """The same at t_b."""
    x_0: Tensor
    """The images in the model's value range, (B, C, H, W)."""
    x_0_hat: Tensor
    """Their reconstructions in the same range; those of the autoencoder may leave it."""
    mask_logits: Tensor
    """(B, 1, H, W)."""


class DiffusionAD(nn.Module):
    """Both sub-networks and the process between them.

    Args:
        config: Everything that shapes it.
        image_size: (height, width) in pixels; every level of every network must divide it.

    Raises:
        ValueError: If a network cannot halve the image as often as it wants to.
    """

    usual_errors: Tensor
    """(2,): the smallest and largest of `errors` of normal images held out of training; zeros until they are known."""

    def __init__(self, config: ModelConfig, image_size: tuple[int, int]) -> None:
        super().__init__()
        self.config, self.image_size = config, image_size
        self.register_buffer("usual_errors", torch.zeros(2))
        self.schedule = NoiseSchedule(config.schedule)
        _check_size(config, image_size)
        self.reconstructor: nn.Module
        if config.paradigm == "autoencoder":
            self.reconstructor = Autoencoder(config.autoencoder, config.image_channels)
        elif config.paradigm == "identity":
            self.reconstructor = nn.Identity()
        else:
            self.reconstructor = UNet(config.unet, config.image_channels, image_size[1])
        self.segmenter: nn.Module
        if config.segmenter_sees == "features":
            self.segmenter = FeatureSegmenter(config.feature_segmenter)
        else:
            self.segmenter = Segmenter(config.segmenter, 2 * config.image_channels)

    def load_pretrained(self) -> None:
        """Give the frozen part of the segmenter, if it has one, the weights that training starts from.

        Raises:
            ValueError: If they are not installed.
        """
        if isinstance(self.segmenter, FeatureSegmenter):
            self.segmenter.encoder.load_pretrained()

    def to_range(self, images: Tensor) -> Tensor:
        """Images in [0, 1] -> x_0 in the model's value range."""
        return images if self.config.value_range == "unit" else 2 * images - 1

    def from_range(self, x_0: Tensor) -> Tensor:
        """x_0 in the model's value range -> images in [0, 1]."""
        return (x_0 if self.config.value_range == "unit" else (x_0 + 1) / 2).clamp(0, 1)

    def segment(self, x_0: Tensor, x_0_hat: Tensor) -> Tensor:
        """Mask logits (B, 1, H, W) for images and reconstructions in the model's value range."""
        logits: Tensor
        if isinstance(self.segmenter, FeatureSegmenter):
            logits = self.segmenter(self.from_range(x_0), self.from_range(x_0_hat))
        else:
            logits = self.segmenter(torch.cat([x_0, x_0_hat], dim=1))
        return logits

    def denoise(self, x_t: Tensor, t: Tensor) -> Tensor:
        """epsilon_theta: predict the noise in x_t of shape (B, C, H, W) at timesteps t of shape (B,)."""
        predicted: Tensor = self.reconstructor(x_t, t)
        if self.config.prediction == "epsilon":
            return predicted
        alpha_bar_t = self.schedule.alpha_bar(t, like=x_t)
        return (x_t - alpha_bar_t.sqrt() * predicted) / (1 - alpha_bar_t).sqrt()  # eq. (1), solved for epsilon

    def draw(self, batch: int, generator: torch.Generator) -> Draws:
        """Draw timesteps and noise for a training step (section IV-D)."""
        shape = (batch, self.config.image_channels, *self.image_size)
        tau, steps = self.config.guidance.tau, self.config.schedule.num_timesteps
        return Draws(
            torch.randint(0, tau, (batch,), generator=generator),
            torch.randint(tau, steps, (batch,), generator=generator),
            torch.randn(shape, generator=generator),
            torch.randn(shape, generator=generator),
            torch.rand(batch, generator=generator) < self.config.reconstruction_dropout,
            torch.ones(batch, dtype=torch.bool),
        )

    def forward(self, images: Tensor, draws: Draws) -> TrainingOutput:
        """One pass of joint training over images.

        The segmentation loss reaches the reconstruction, as in the paper; through `iterative` and `ddim` it does not,
        since hundreds of steps cannot be kept for a backward pass.

        Args:
            images: In [0, 1], shape (B, C, H, W).
            draws: Of `draw`, on any device.
        """
        x_0 = self.to_range(images)
        epsilon_s, epsilon_b = draws.epsilon_s.to(x_0), draws.epsilon_b.to(x_0)
        dropped = draws.is_dropped.to(x_0.device).reshape(-1, 1, 1, 1)
        if self.config.paradigm in ("autoencoder", "identity"):
            x_0_hat = self.reconstructor(x_0)
            # Clamped for the segmenter alone, which sees it so at inference; the squared error needs all of it.
            seen = torch.where(dropped, x_0, x_0_hat.clamp(-1, 1))
            return TrainingOutput(None, None, None, None, x_0, x_0_hat, self.segment(x_0, seen))
        needed = draws.is_needed
        guided = reconstruct(
            self.denoise,
            self.schedule,
            self.config.guidance.scale if self.config.paradigm == "norm_guided" else 0.0,
            x_0[needed],
            draws.t_s[needed],
            draws.t_b[needed],
            epsilon_s[needed],
            epsilon_b[needed],
            self.config.guidance.local,
        )
        # What no loss looks at: the image itself, and the drawn noise.
        guided = Reconstruction(
            *(_put(*pair, needed) for pair in zip(guided, (x_0, epsilon_s, epsilon_b), strict=True))
        )
        x_0_hat = guided.x_0_hat
        if self.config.paradigm in ("iterative", "ddim"):
            generator = torch.Generator().manual_seed(int(draws.t_b.sum()))
            with torch.no_grad():
                x_0_hat = self.reconstruct(x_0, lambda _key: torch.randn(x_0.shape, generator=generator).to(x_0))
        snr_s, snr_b = (self.schedule.snr(t, like=x_0) for t in (draws.t_s, draws.t_b))
        return TrainingOutput(
            guided.epsilon_hat_s,
            guided.epsilon_hat_b,
            snr_s,
            snr_b,
            x_0,
            x_0_hat,
            self.segment(x_0, torch.where(dropped, x_0, x_0_hat)),
        )

    def reconstruct(self, x_0: Tensor, noise: Noise, paradigm: Paradigm | None = None) -> Tensor:
        """Anomaly-free version of x_0, in the model's value range and clamped to [-1, 1].

        Args:
            x_0: Images in the model's value range, shape (B, C, H, W).
            noise: Source of noise; the same source gives the same reconstruction.
            paradigm: Another way than the one trained with.

        Raises:
            ValueError: If this model cannot reconstruct so; `identity` works with every one.
        """
        paradigm = paradigm or self.config.paradigm
        if paradigm == "identity":
            return x_0
        if paradigm not in self.paradigms:
            raise ValueError(f"a model trained as {self.config.paradigm} cannot reconstruct as {paradigm}")
        if paradigm == "autoencoder":
            x_0_hat: Tensor = self.reconstructor(x_0)
            return x_0_hat.clamp(-1, 1)
        if paradigm == "norm_guided":
            return self._guided(x_0, noise)
        guidance = self.config.guidance
        t_s, t_b = (torch.full((len(x_0),), t) for t in (guidance.t_s, guidance.t_b))
        if paradigm == "one_step":
            return one_step(self.denoise, self.schedule, x_0, t_s, noise(guidance.t_s)).clamp(-1, 1)
        x_t = q_sample(self.schedule, x_0, t_b, noise(guidance.t_b))
        if paradigm == "ddim":
            steps = ddim_timesteps(guidance.t_b, self.config.ddim_steps)
            return ddim(self.denoise, self.schedule, x_t, steps)
        return ancestral(self.denoise, self.schedule, x_t, guidance.t_b, lambda step: noise(-1 - step))

    def errors(self, images: Tensor, noise: Noise) -> Tensor:
        """Errors (B,) of reconstructions from t_b, by which `guidance.t_s_range` gives images in [0, 1] their t_s."""
        x_0, t_b = self.to_range(images), self.config.guidance.t_b
        t = torch.full((len(x_0),), t_b)
        return image_error(x_0, one_step(self.denoise, self.schedule, x_0, t, noise(t_b)))

    def infer(self, images: Tensor, noise: Noise, paradigm: Paradigm | None = None) -> tuple[Tensor, Tensor]:
        """Mask logits (B, H, W) and reconstructions in [0, 1] of images in [0, 1]; arguments as of `reconstruct`."""
        x_0 = self.to_range(images)
        x_0_hat = self.reconstruct(x_0, noise, paradigm)
        return self.segment(x_0, x_0_hat)[:, 0], self.from_range(x_0_hat)

    @property
    def parts(self) -> dict[str, int]:
        """Number of weights of each sub-network."""
        networks = {"reconstructor": self.reconstructor, "segmenter": self.segmenter}
        return {name: sum(weight.numel() for weight in part.parameters()) for name, part in networks.items()}

    @property
    def paradigms(self) -> dict[str, Paradigm]:
        """The ways in which this model can reconstruct, by name."""
        if self.config.paradigm in ("autoencoder", "identity"):
            return {self.config.paradigm: self.config.paradigm}
        return {name: name for name in DIFFUSIONS}

    def denoiser_passes(self, paradigm: str) -> int:
        """How often the denoiser runs for an image; 0 where there is none."""
        guidance = self.config.guidance
        walk = ddim_timesteps(guidance.t_b, self.config.ddim_steps)
        passes = {"one_step": 1, "norm_guided": 2, "ddim": len(walk), "iterative": guidance.t_b + 1}
        return passes.get(paradigm, 0)

    def _guided(self, x_0: Tensor, noise: Noise) -> Tensor:
        guidance, denoise, schedule = self.config.guidance, self.denoise, self.schedule
        # The key of the noise names a draw; with one t_s for all it is also the timestep.
        epsilon_s, epsilon_b = noise(guidance.t_s), noise(guidance.t_b)
        if guidance.t_s_range is not None:
            return reconstruct_adaptively(denoise, schedule, guidance, self.usual_errors, x_0, epsilon_s, epsilon_b)
        t_s, t_b = (torch.full((len(x_0),), t) for t in (guidance.t_s, guidance.t_b))
        return reconstruct(
            denoise, schedule, guidance.scale, x_0, t_s, t_b, epsilon_s, epsilon_b, guidance.local
        ).x_0_hat


def _put(part: Tensor, whole: Tensor, where: Tensor) -> Tensor:
    """`whole` with `part` in the places `where`."""
    if bool(where.all()):
        return part
    return whole.to(part.dtype).index_put((where.to(part.device),), part)


def _check_size(config: ModelConfig, image_size: tuple[int, int]) -> None:
    halvings = {
        "unet": config.unet.stem * 2 ** (len(config.unet.channel_multipliers) - 1),
        "segmenter": config.segmenter.stem * 2 ** (len(config.segmenter.channel_multipliers) - 1),
    }
    if config.segmenter_sees == "features":
        halvings["segmenter"] = 2
    if config.paradigm in ("autoencoder", "identity"):
        del halvings["unet"]
    if config.paradigm == "autoencoder":
        halvings["autoencoder"] = 2 ** (len(config.autoencoder.channel_multipliers) - 1)
    for name, divisor in halvings.items():
        if any(pixels % divisor for pixels in image_size):
            raise ValueError(f"model.{name} halves an image down to 1/{divisor}; {image_size} is not divisible by that")
