"""What a detector is: the one interface between a method and everything around it.

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

Nobody outside that folder names the kind or asks which one it has: what a model cannot do it says itself (no `form`, no
reconstruction).
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
    """What a model says of B images."""

    mask_logits: Tensor
    """(B, H, W); above 0 means more likely anomalous than not."""
    reconstruction: Tensor | None = None
    """(B, 3, H, W), in [0, 1]: the images as they would be without an anomaly; None where the method makes none."""
    image_logit: Tensor | None = None
    """(B,): score of the image before the sigmoid; None where it is the mean of the highest pixels."""

    def map(self, change: Callable[[Tensor], Tensor]) -> "Output":
        """Change each part that there is."""
        return Output(change(self.mask_logits), *(None if part is None else change(part) for part in self[1:]))


class Mode(NamedTuple):
    """One way to infer."""

    passes: int
    """How often the largest network runs for an image."""
    noise_keys: tuple[int, ...] | None
    """Keys of the noise it asks for, known before it sees an image; None where it walks, and so is not exported."""


class Noise(Protocol):
    """The noise of a batch of images, drawn from their content and the seed: the same image has the same noise."""

    def __call__(self, key: int) -> Tensor:
        """Standard normal noise of the shape of the images, on their device; drawn anew for each key."""

    def generators(self, key: int) -> list[torch.Generator]:
        """One generator per image, on the CPU, for other noise than a normal one."""


class Group(NamedTuple):
    """Parameters that share a learning rate."""

    parameters: Iterable[nn.Parameter]
    learning_rate: float


class Phase(ABC):
    """Something to be learned. Most kinds have one phase; a latent diffusion has two."""

    name: ClassVar[str]


class Stepwise(Phase):
    """Learned by gradient. Steps, averaged weights, clipping, precision and resuming are the trainer's."""

    batch: ClassVar[Literal["normal", "mixed"]]
    """Whether all images of a batch are normal, or half of them hold a synthetic anomaly."""

    def prepare(self) -> None:  # most have nothing to load
        """Load what training starts from.

        Raises:
            ValueError: If it is not installed.
        """

    @abstractmethod
    def groups(self) -> dict[str, Group]:
        """All that is learned, by name."""

    @abstractmethod
    def draw(self, batch: int, generator: torch.Generator) -> dict[str, Tensor]:
        """All randomness of one step but dropout: tensors whose first dimension is the batch."""

    @abstractmethod
    def loss(self, images: Tensor, mask: Tensor, is_normal: Tensor, draws: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Scalars by name; `total` is minimised, the others are told.

        Args:
            images: In [0, 1], shape (B, 3, H, W).
            mask: {0, 1}, float32, shape (B, 1, H, W).
            is_normal: Which images hold no anomaly, shape (B,), bool, on the CPU.
            draws: What `draw` gave for these images, on the CPU.
        """


class Once(Phase):
    """Learned in one pass over the normal images."""

    @abstractmethod
    def fit(self, batches: Iterable[Tensor], generator: torch.Generator) -> None:
        """Learn from batches of normal images in [0, 1], shape (B, 3, H, W) each.

        Raises:
            ValueError: If something that it starts from is not installed.
        """


class Model(nn.Module, ABC):
    """A detector's networks, and how they learn and infer.

    Args:
        config: The settings of its kind.
        image_size: (height, width) in pixels.

    Raises:
        ValueError: If no such network can be built.
    """

    needs_gradient: ClassVar[bool] = False
    """Whether `infer` computes gradients, as classifier guidance does."""

    def __init__(self, config: ModelConfig, image_size: tuple[int, int]) -> None:
        super().__init__()
        self.config, self.image_size = config, image_size

    @property
    @abstractmethod
    def phases(self) -> Sequence[Phase]:
        """What is learned, in order. The model that is kept is chosen in the last one."""

    @property
    @abstractmethod
    def modes(self) -> Mapping[str, Mode]:
        """Ways to infer by name; the first is the model's own."""

    @abstractmethod
    def infer(self, images: Tensor, noise: Noise, mode: str) -> Output:
        """Look at images in [0, 1], shape (B, 3, H, W), on the device of the model, in evaluation mode."""

    def form(self, mode: str) -> "Form | None":  # noqa: ARG002  # of those that have one
        """The mode as one function; None where only `infer` can run it."""
        return None

    def calibrate(self, batches: Iterable[tuple[Tensor, Noise]]) -> None:  # most have nothing to know
        """Learn what must be known of normal images that were held out of training: batches with their noise."""

    @property
    def parts(self) -> dict[str, int]:
        """Number of stored values of each part."""
        return {name: sum(weight.numel() for weight in part.parameters()) for name, part in self.named_children()}


class Form(nn.Module, ABC):
    """A model in one mode as a function of images and noise: what is exported and timed.

    `forward(images, noise)` takes images in [0, 1], shape (B, 3, H, W), and standard normal noise, one for each of
    `noise_keys`, shape (levels, B, 3, H, W); it returns an Output.
    """

    def __init__(self, model: "Model", noise_keys: tuple[int, ...]) -> None:
        super().__init__()
        self.noise_keys, self.image_size = noise_keys, model.image_size
        self.top_k_fraction = model.config.top_k_fraction

    @abstractmethod
    def in_bf16(self) -> "Form":
        """A copy whose networks hold bf16 numbers; what it takes and returns stays float32."""


class NoiselessForm(Form):
    """The form of a model whose `infer` takes no noise and has no branch that depends on the image.

    Args:
        model: In evaluation mode; its weights are shared, except those that are folded.
        mode: One of its modes, with no noise keys.
    """

    def __init__(self, model: "Model", mode: str) -> None:
        super().__init__(model, ())
        self.model, self.mode = folded(model), mode

    def forward(self, images: Tensor, _noise: Tensor) -> Output:
        """Infer; the noise has no level."""
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
    """How anomalous images are, float64 in [0, 1], shape (B,): the mean of the highest pixels (section IV-E).

    Args:
        output: With mask logits of shape (B, H, W); an image logit takes the place of the mean.
        top_k_fraction: Share of the pixels that count; at least one does. The paper takes 50 of 256 x 256.
    """
    # float64: in float32 the sigmoid of a sure pixel is 1, and sure images could not be told apart.
    if output.image_logit is not None:
        return torch.sigmoid(output.image_logit.double())
    pixels = output.mask_logits.flatten(1)
    k = max(1, round(top_k_fraction * int(pixels.shape[1])))
    return torch.sigmoid(pixels.topk(k).values.double()).mean(dim=1)
