"""The interface of a detector, between a method and everything around it.

A kind of detector is one folder, `diffusionad/detectors/KIND/`, whose module `model` has two names:

    class Config(ModelConfig):
        kind: Literal["mine"]
        width: int = Field(gt=0, description="channels of the network")

    class Mine(Model):
        def __init__(self, config, image_size): ...
        phases = property(lambda self: (MyTraining(self),))       # what is learned
        modes = property(lambda self: {"mine": Mode(passes=1, noise_keys=())})
        def infer(self, images, noise, mode): return Output(mask_logits)

    CONFIG, MODEL = Config, Mine

No code outside that folder names the kind or asks which kind a model is of: the model says itself what it cannot do (no
`form`, no reconstruction).
"""

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import ClassVar, Literal, NamedTuple, Protocol

import torch
from pydantic import Field
from torch import Tensor, nn

from diffusionad.networks.folding import folded
from diffusionad.section import Section


class ModelConfig(Section):
    """The settings of one kind: params/detectors/KIND.yaml. A checkpoint holds them whole."""

    kind: str = Field(description="name of the folder of the detector; the name of its settings file")
    top_k_fraction: float = Field(gt=0, le=1, description="share of the pixels whose mean is the image score")


class Output(NamedTuple):
    """The output of a model for B images."""

    mask_logits: Tensor
    """(B, H, W); above 0 means more likely anomalous than not."""
    reconstruction: Tensor | None = None
    """(B, 3, H, W), in [0, 1]: the images as they would be without an anomaly; None where the method makes none."""
    image_logit: Tensor | None = None
    """(B,): score of the image before the sigmoid; None where it is the mean of the highest pixels."""
    member_logits: Tensor | None = None
    """(B, M, H, W): the maps of the M members of an ensemble, of which `mask_logits` is the mean with the weights of
    `Model.members`; None where there are no members."""

    def map(self, change: Callable[[Tensor], Tensor]) -> "Output":
        """Apply `change` to each part that is not None."""
        return Output(change(self.mask_logits), *(None if part is None else change(part) for part in self[1:]))


class Mode(NamedTuple):
    """One way to infer."""

    passes: int
    """Passes of the largest network per image."""
    noise_keys: tuple[int, ...] | None
    """Keys of the noise that it needs. None where they depend on the image or the mode takes many random steps; such a
    mode cannot be exported."""


class Noise(Protocol):
    """The noise of a batch of images, drawn from their content and the seed: the same image has the same noise."""

    def __call__(self, key: int) -> Tensor:
        """Standard normal noise of the shape of the images, on their device; drawn anew for each key."""

    def generators(self, key: int) -> list[torch.Generator]:
        """One generator per image, on the CPU, for noise that is not normally distributed."""


class Group(NamedTuple):
    """Parameters that share a learning rate."""

    parameters: Iterable[nn.Parameter]
    learning_rate: float


class Phase(ABC):
    """One part of the training. Most kinds have one phase; a latent diffusion has two."""

    name: ClassVar[str]


class Stepwise(Phase):
    """Learned by gradient. Steps, averaged weights, clipping, precision and resuming are the trainer's."""

    batch: ClassVar[Literal["normal", "mixed"]]
    """Whether all images of a batch are normal, or half of them hold a synthetic anomaly."""

    def prepare(self) -> None:  # most have nothing to load
        """Load the weights that training starts from.

        Raises:
            ValueError: If they are not installed.
        """

    @abstractmethod
    def groups(self) -> dict[str, Group]:
        """All parameters that are learned, by the name of their group."""

    @abstractmethod
    def draw(self, batch: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Draw all randomness of one step except dropout: tensors whose first dimension is the batch."""

    @abstractmethod
    def loss(self, images: Tensor, mask: Tensor, is_normal: Tensor, draws: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Compute scalars by name; `total` is minimised, the others are logged.

        Args:
            images: Images in [0, 1], shape (B, 3, H, W).
            mask: Ground truth {0, 1}, float32, shape (B, 1, H, W).
            is_normal: Whether each image holds no anomaly, bool, shape (B,), on the CPU.
            draws: Result of `draw` for these images, on the CPU.
        """


class Anomalous(NamedTuple):
    """A batch of training images, each with one synthetic anomaly."""

    images: Tensor
    """Images in [0, 1], shape (B, 3, H, W)."""
    mask: Tensor
    """Ground truth {0, 1}, float32, shape (B, 1, H, W)."""
    source: Tensor
    """Index, among the normal images, of the one under each anomaly; int64, shape (B,), on the CPU."""


class TrainingImages(Protocol):
    """The training images of a category, read and drawn when they are asked for."""

    count: int
    """Number of normal images."""

    def normal(self) -> Iterable[Tensor]:
        """Batches of all normal images in [0, 1], shape (B, 3, H, W), always in the same order."""

    def anomalous(self, count: int) -> Iterable[Anomalous]:
        """Batches of `count` images with a synthetic anomaly, the same at every call."""


class Once(Phase):
    """Learned from a fixed set of images, in a way of its own."""

    @abstractmethod
    def fit(self, images: TrainingImages, generator: torch.Generator) -> None:
        """Learn.

        Raises:
            ValueError: If weights that it starts from are not installed, or there are too few images.
        """


class Model(nn.Module, ABC):
    """The networks of a detector, and how they learn and infer.

    Args:
        config: Settings of the kind.
        image_size: (height, width) in pixels.

    Raises:
        ValueError: If the networks cannot be built from these settings at this size.
    """

    needs_gradient: ClassVar[bool] = False
    """Whether `infer` computes gradients, as classifier guidance does."""
    held_out_scores: Tensor | None = None
    """(N,), float64: what `image_score` gives normal training images, each judged by a copy of the model that did not
    learn from it. Set by training where that is cheap, and not saved; None otherwise."""

    def __init__(self, config: ModelConfig, image_size: tuple[int, int]) -> None:
        super().__init__()
        self.config, self.image_size = config, image_size

    @property
    @abstractmethod
    def phases(self) -> Sequence[Phase]:
        """The phases of training, in order. The model that is kept is chosen in the last one."""

    @property
    @abstractmethod
    def modes(self) -> Mapping[str, Mode]:
        """Ways to infer, by name; the first is the model's own."""

    @abstractmethod
    def infer(self, images: Tensor, noise: Noise, mode: str) -> Output:
        """Judge images in [0, 1], shape (B, 3, H, W), on the device of the model, which is in evaluation mode."""

    def form(self, mode: str) -> "Form | None":  # noqa: ARG002  # for the models that have a form
        """The mode as one function; None where only `infer` can run it."""
        return None

    def calibrate(self, batches: Iterable[tuple[Tensor, Noise]]) -> None:  # most need nothing
        """Measure normal images that were held out of training, given as batches with their noise."""

    @property
    def members(self) -> Mapping[str, float]:
        """Weights, whose sum is 1, of the members of an ensemble by name, in the order of `Output.member_logits`."""
        return {}

    @property
    def parts(self) -> dict[str, int]:
        """Number of stored values of each part."""
        return {name: sum(weight.numel() for weight in part.parameters()) for name, part in self.named_children()}


class Form(nn.Module, ABC):
    """A model in one mode, as a function of images and noise; it is what is exported and timed.

    `forward(images, noise)` takes images in [0, 1], shape (B, 3, H, W), and standard normal noise, one
    level per key in `noise_keys`, shape (levels, B, 3, H, W); it returns an Output.
    """

    def __init__(self, model: "Model", noise_keys: tuple[int, ...]) -> None:
        super().__init__()
        self.noise_keys, self.image_size = noise_keys, model.image_size
        self.top_k_fraction = model.config.top_k_fraction

    @abstractmethod
    def in_bf16(self) -> "Form":
        """A copy whose networks compute in bf16; inputs and outputs stay float32."""


class NoiselessForm(Form):
    """The form of a model whose `infer` takes no noise and has no branch that depends on the image.

    Args:
        model: A model in evaluation mode; its weights are shared, except those that are folded.
        mode: One of the modes of the model, without noise keys.
    """

    def __init__(self, model: "Model", mode: str) -> None:
        super().__init__(model, ())
        self.model, self.mode = folded(model), mode

    def forward(self, images: Tensor, _noise: Tensor) -> Output:
        """Infer from images (B, 3, H, W); the noise has shape (0, B, 3, H, W)."""
        like = next(self.model.parameters())
        output = self.model.infer(images.to(like), _NO_NOISE, self.mode)
        return output.map(lambda part: part.to(images))

    def in_bf16(self) -> "NoiselessForm":
        """A copy that computes in bf16 from end to end."""
        twin = copy.deepcopy(self)
        twin.model.bfloat16()
        return twin


class _NoNoise:
    def __call__(self, key: int) -> Tensor:
        raise ValueError(f"a model without noise keys asked for noise {key}")

    def generators(self, key: int) -> list[torch.Generator]:
        raise ValueError(f"a model without noise keys asked for noise {key}")


_NO_NOISE = _NoNoise()


def image_score(output: Output, top_k_fraction: float) -> Tensor:
    """Compute the anomaly score of each image, float64 in [0, 1], shape (B,): the mean of the highest pixels.

    Section IV-E of DiffusionAD (arXiv:2303.08730).

    Args:
        output: Output of a model; where it has image logits, they take the place of the mean.
        top_k_fraction: Share of the pixels that count, at least one pixel. The paper takes 50 of 256 x 256.
    """
    # float64: in float32 the sigmoid of a large logit rounds to 1, and clearly anomalous images could not be ranked.
    if output.image_logit is not None:
        return torch.sigmoid(output.image_logit.double())
    pixels = output.mask_logits.flatten(1)
    k = max(1, round(top_k_fraction * int(pixels.shape[1])))
    return torch.sigmoid(pixels.topk(k).values.double()).mean(dim=1)
