"""Detector: images in, scores and anomaly maps out; the only way to use a trained model."""

import hashlib
import json
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from pydantic import Discriminator, Field, Tag, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from diffusionad.data.decode import load, to_rgb
from diffusionad.data.images import read_image, resize_image
from diffusionad.model import DiffusionAD, ModelConfig, Paradigm
from diffusionad.patchcore import PatchCore, PatchCoreConfig
from diffusionad.section import Section

WEIGHTS = "model.safetensors"
CONFIG = "model.json"

Images = Tensor | Sequence[str | Path | Image.Image]
"""Float tensor (B, 3, H, W) in [0, 1], or paths and PIL images of any size."""


Model = DiffusionAD | PatchCore
"""Networks that a detector can hold: both have `infer`, `parts` and `paradigms`."""


def _kind(model: Any) -> str:  # noqa: ANN401  # JSON, or the config itself
    """Tell the configs by what one of them alone has, so that an error names its fields and not those of both."""
    is_patchcore = "coreset_fraction" in model if isinstance(model, dict) else isinstance(model, PatchCoreConfig)
    return "patchcore" if is_patchcore else "diffusionad"


class DetectorConfig(Section):
    """All that a checkpoint knows beside its weights (model.json)."""

    dataset: str
    category: str
    manifest: str = Field(description="SHA-256 of the manifest it was trained on")
    image_size: tuple[int, int] = Field(description="(height, width) in pixels to which images are brought")
    seed: int = Field(ge=0, description="of the inference noise")
    threshold: float = Field(description="images whose score reaches it are anomalous; calibrated on validation images")
    model: Annotated[
        Annotated[ModelConfig, Tag("diffusionad")] | Annotated[PatchCoreConfig, Tag("patchcore")], Discriminator(_kind)
    ]

    def build(self) -> Model:
        """The model with its first weights."""
        if isinstance(self.model, PatchCoreConfig):
            return PatchCore(self.model, self.image_size)
        return DiffusionAD(self.model, self.image_size)


class Prediction(NamedTuple):
    """What a detector says of B images; all tensors are on the CPU."""

    image_score: Tensor
    """(B,), float64, in [0, 1]: mean of the highest pixels of the anomaly map; higher is more anomalous."""
    anomaly_map: Tensor
    """(B, H, W), float32, in [0, 1], at the size of the model's input."""
    mask_logits: Tensor
    """(B, H, W), float32: the anomaly map before the sigmoid, which ranks pixels where the map has become 1."""
    reconstruction: Tensor
    """(B, 3, H, W), float32, in [0, 1]: the images as they would be without an anomaly; PatchCore gives them back."""
    is_anomalous: Tensor
    """(B,), bool: the score reaches the calibrated threshold."""


class Detector:
    """A trained model with its threshold.

    The noise of an image is drawn from its own content and the seed, so a score depends neither on the run nor on the
    batch or the order in which the image came.
    """

    def __init__(self, model: Model, config: DetectorConfig, device: str | torch.device = "cpu") -> None:
        self.config = config
        self._device = torch.device(device)
        self._model = model.to(self._device).eval()
        self._model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs leave it out

    @classmethod
    def load(cls, folder: str | Path, device: str | torch.device = "cpu") -> "Detector":
        """Read model.json and model.safetensors; nothing in them is executed.

        Args:
            folder: As `save` wrote it.
            device: Where the networks run.

        Raises:
            ValueError: If a file is missing or is not what it should be; names it.
        """
        config_file, weights_file = Path(folder, CONFIG), Path(folder, WEIGHTS)
        for file in (config_file, weights_file):
            if not file.is_file():
                raise ValueError(f"{folder}: no model here ({file.name} is missing); train one first")
        try:
            config = DetectorConfig.model_validate_json(config_file.read_bytes())
            model = config.build()
        except ValueError as error:
            raise ValueError(f"{config_file}: not a config of this version: {_line(error)}") from None
        try:
            model.load_state_dict(load_file(weights_file))
        except SafetensorError as error:
            raise ValueError(
                f"{weights_file}: not a whole safetensors file ({error}); train or pull it again"
            ) from None
        except RuntimeError as error:
            raise ValueError(f"{weights_file}: not the weights of {config_file}: {_line(error)}") from None
        return cls(model, config, device)

    def save(self, folder: Path) -> None:
        """Write model.json and model.safetensors into an existing folder; the same model gives the same bytes."""
        # Contiguous: safetensors stores no channels_last layout.
        weights = {name: value.detach().cpu().contiguous() for name, value in self._model.state_dict().items()}
        save_file(weights, folder / WEIGHTS)
        config = json.dumps(self.config.model_dump(mode="json"), indent=2) + "\n"
        (folder / CONFIG).write_text(config, encoding="utf-8")

    def with_threshold(self, threshold: float) -> "Detector":
        """The same model with another threshold."""
        return Detector(self._model, self.config.model_copy(update={"threshold": threshold}), self._device)

    def predict(self, images: Images, *, paradigm: Paradigm | None = None, batch_size: int = 16) -> Prediction:
        """Score images and mark their anomalous pixels.

        Args:
            images: A float tensor (B, 3, H, W) in [0, 1] at any size, or paths and PIL images.
            paradigm: Another way to reconstruct than the one the model was trained with.
            batch_size: Images that go through the networks together.

        Raises:
            ValueError: If there is no image, a file is not an image, or a tensor has another shape, type or range.
        """
        parts = [self._predict_batch(batch, paradigm) for batch in self._batches(images, batch_size)]
        if not parts:
            raise ValueError("no images to predict; pass a tensor, or a list of paths or PIL images, that is not empty")
        return Prediction(*(torch.cat(part) for part in zip(*parts, strict=True)))

    @property
    def parameters(self) -> dict[str, int]:
        """Number of weights of each part."""
        return self._model.parts

    @property
    def paradigms(self) -> Mapping[str, Paradigm | None]:
        """Ways to reconstruct that it can be timed in: name in tables -> what `predict` takes."""
        return self._model.paradigms

    def denoiser_passes(self, paradigm: str) -> int:
        """How often the denoiser runs for an image; 0 where there is none."""
        return self._model.denoiser_passes(paradigm) if isinstance(self._model, DiffusionAD) else 0

    def read(self, images: Sequence[str | Path | Image.Image]) -> Tensor:
        """Bring paths and PIL images to what the model takes: (B, 3, H, W), float32 in [0, 1].

        Raises:
            ValueError: If something is neither, or not a readable image.
        """
        return torch.from_numpy(np.stack([self._prepare(image) for image in images])).permute(0, 3, 1, 2)

    @torch.inference_mode()
    def _predict_batch(self, images: Tensor, paradigm: Paradigm | None) -> Prediction:
        digests = [hashlib.sha256(image.numpy().tobytes()).digest() for image in images.contiguous()]
        placed = images.to(self._device, memory_format=torch.channels_last)

        def noise(key: int) -> Tensor:
            return torch.stack([self._draw(digest, key, placed.shape[1:]) for digest in digests]).to(placed)

        mask_logits, reconstruction = self._model.infer(placed, noise, paradigm)
        logits = mask_logits.cpu().float()
        score = image_score(logits, self.config.model.top_k_fraction)
        clean = reconstruction.cpu().contiguous()
        return Prediction(score, torch.sigmoid(logits), logits, clean, score >= self.config.threshold)

    def _draw(self, digest: bytes, key: int, shape: torch.Size) -> Tensor:
        identity = hashlib.sha256(digest + f"{self.config.seed}/{key}".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(identity[:8], "big") >> 1)
        return torch.randn(shape, generator=generator)

    def _batches(self, images: Images, batch_size: int) -> Iterator[Tensor]:
        if isinstance(images, (str, Path, Image.Image)):
            raise ValueError(  # noqa: TRY004  # what a caller can get wrong is a ValueError, here as in all rooms
                f"expected a list of images, got one {type(images).__name__}; put it into a list"
            )
        if isinstance(images, Tensor):
            _check_tensor(images)
        for start in range(0, len(images), batch_size):
            batch = images[start : start + batch_size]
            # One type and place: the noise of an image is drawn from its bytes.
            yield (
                _resized(batch.cpu().float(), self.config.image_size) if isinstance(batch, Tensor) else self.read(batch)
            )

    def _prepare(self, image: str | Path | Image.Image) -> NDArray[np.float32]:
        if isinstance(image, Image.Image):
            # Loaded as a file is: turned upright by its EXIF tag.
            return resize_image(to_rgb(load(image, "PIL image"), "PIL image"), self.config.image_size)
        if not isinstance(image, (str, Path)):
            raise ValueError(  # noqa: TRY004  # as above
                f"expected paths or PIL images, got a {type(image).__name__}; arrays go in as one tensor (B, 3, H, W)"
            )
        return read_image(Path(image), self.config.image_size)


def image_score(mask_logits: Tensor, top_k_fraction: float) -> Tensor:
    """Mean anomaly of the highest pixels (section IV-E), float64 in [0, 1], shape (B,).

    Args:
        mask_logits: Shape (B, H, W).
        top_k_fraction: Share of the pixels that count; at least one does. The paper takes 50 of 256 x 256.
    """
    pixels = mask_logits.flatten(1)
    k = max(1, round(top_k_fraction * pixels.shape[1]))
    # float64: in float32 the sigmoid of a sure pixel is 1, and sure images could not be told apart.
    return torch.sigmoid(pixels.topk(k).values.double()).mean(dim=1)


def _resized(images: Tensor, size: tuple[int, int]) -> Tensor:
    if tuple(images.shape[2:]) == size:
        return images
    arrays = images.permute(0, 2, 3, 1).numpy()
    resized = [resize_image(array, size) for array in arrays]
    return torch.from_numpy(np.stack(resized)).permute(0, 3, 1, 2)


def _line(error: Exception) -> str:
    """Shorten a text of many lines to one that fits an error of ours."""
    if isinstance(error, ValidationError):
        error = ValueError("; ".join(f"`{'.'.join(map(str, e['loc']))}`: {e['msg']}" for e in error.errors()))
    return textwrap.shorten(str(error), 300, placeholder=" ...")


def _check_tensor(images: Tensor) -> None:
    if images.dim() != 4 or images.shape[1] != 3 or not images.is_floating_point():  # noqa: PLR2004  # (B, 3, H, W)
        raise ValueError(f"expected a float tensor (B, 3, H, W), got {images.dtype} of shape {tuple(images.shape)}")
    if images.numel() and not (images.min() >= 0 and images.max() <= 1):
        raise ValueError(
            f"expected values in [0, 1], got {float(images.min()):.3g} to {float(images.max()):.3g}; divide by 255?"
        )
