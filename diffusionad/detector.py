"""Detector: images in, scores and anomaly maps out; the only way to use a trained model."""

import hashlib
import json
import textwrap
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import torch
from PIL import Image
from pydantic import Discriminator, Field, Tag, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from diffusionad.model import DIFFUSIONS, DiffusionAD, ModelConfig, Noise, Paradigm
from diffusionad.networks.layout import lay_out, memory_format
from diffusionad.patchcore import PatchCore, PatchCoreConfig
from diffusionad.runtime.batches import Images, batches, read
from diffusionad.runtime.engines import Engine, Precision, Runtime, Variant, open_engine, torch_engine
from diffusionad.runtime.pipeline import LEVELS, Output, Pipeline, image_score, is_fixed
from diffusionad.runtime.record import digest_of, fastest, read_record
from diffusionad.runtime.tiles import Mosaic
from diffusionad.section import Section

WEIGHTS = "model.safetensors"
CONFIG = "model.json"

TORCH = Variant("torch", "fp32")


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


class LargePrediction(NamedTuple):
    """What a detector says of one image larger than its input, tile by tile."""

    image_score: float
    """The highest score of a tile: the threshold belongs to images of the size of a tile."""
    anomaly_map: Tensor
    """(H, W), float32, in [0, 1], at the size of the image."""
    tile_scores: Tensor
    """(rows, columns), float64."""
    is_anomalous: bool
    """Some tile reaches the threshold. Of n tiles, a normal image has n chances to."""


class Detector:
    """A trained model with its threshold.

    The noise of an image is drawn from its own content and the seed, so a score depends neither on the run nor on the
    batch or the order in which the image came.
    """

    def __init__(
        self,
        model: Model,
        config: DetectorConfig,
        device: str | torch.device = "cpu",
        *,
        variant: Variant = TORCH,
        engine: Engine | None = None,
    ) -> None:
        self.config, self.variant = config, variant
        self._device = torch.device(device)
        self._model = model.to(self._device).eval()
        lay_out(self._model, self._device)
        self._own = config.model.paradigm if isinstance(config.model, ModelConfig) else None
        self._engines: dict[Paradigm | None, Engine] = {} if engine is None else {self._own: engine}

    @classmethod
    def load(
        cls,
        folder: str | Path,
        device: str | torch.device = "cpu",
        *,
        runtime: Runtime | Literal["auto"] = "torch",
        precision: Precision = "fp32",
    ) -> "Detector":
        """Read model.json and model.safetensors; nothing in them is executed.

        Args:
            folder: As `save` wrote it, or as `diffusionad export` did.
            device: Where the networks run by torch; ONNX Runtime and OpenVINO run on the CPU.
            runtime: torch, onnx or openvino; auto takes the fastest export of the folder as measured on this machine
                when it was exported, or torch where none is faster.
            precision: fp32, bf16 or int8; auto chooses it too.

        Raises:
            ValueError: If a file is missing or is not what it should be, a runtime is not installed, or there is no
                such export of this model; names it.
        """
        detector = cls._load_weights(Path(folder), device)
        if runtime == "torch":
            if precision == "fp32":
                return detector
            return detector.with_engine(Variant("torch", precision), torch_engine(detector.pipeline(), precision))
        model = digest_of([Path(folder, CONFIG), Path(folder, WEIGHTS)])
        variant = fastest(Path(folder), model) if runtime == "auto" else Variant(runtime, precision)
        if variant == TORCH:
            return detector
        read_record(Path(folder), variant, model)
        return detector.with_engine(variant, open_engine(Path(folder, str(variant)), variant, torch.get_num_threads()))

    @classmethod
    def _load_weights(cls, folder: Path, device: str | torch.device) -> "Detector":
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
        return Detector(
            self._model,
            self.config.model_copy(update={"threshold": threshold}),
            self._device,
            variant=self.variant,
            engine=self._engines.get(self._own),
        )

    def predict(self, images: Images, *, paradigm: Paradigm | None = None, batch_size: int = 16) -> Prediction:
        """Score images and mark their anomalous pixels.

        Args:
            images: A float tensor (B, 3, H, W) in [0, 1] at any size, or paths and PIL images.
            paradigm: Another way to reconstruct than the one the model was trained with.
            batch_size: Images that go through the networks together.

        Raises:
            ValueError: If there is no image, a file is not an image, or a tensor has another shape, type or range.
        """
        coming = batches(images, self.config.image_size, batch_size)
        parts = [self._predict_batch(batch, paradigm or self._own) for batch in coming]
        if not parts:
            raise ValueError("no images to predict; pass a tensor, or a list of paths or PIL images, that is not empty")
        return Prediction(*(torch.cat(part) for part in zip(*parts, strict=True)))

    def predict_large(self, image: str | Path | Image.Image, *, overlap: int, batch_size: int = 16) -> LargePrediction:
        """Score an image larger than the model's input at its own size, tile by tile.

        For a model trained on crops at the scale of the image. Beside the image, the memory needed is that of one map
        and of a batch of tiles.

        Args:
            image: A path or a PIL image, at least of the model's size.
            overlap: Pixels that neighbouring tiles share at least; they are blended there.
            batch_size: Tiles that go through the networks together.

        Raises:
            ValueError: If the image cannot be read or is smaller than a tile, or the overlap is not below half a tile.
        """
        mosaic = Mosaic(image, self.config.image_size, overlap)
        cut, scores = mosaic.tiles(), []
        while part := list(islice(cut, batch_size)):
            prediction = self.predict([tile for _, tile in part], batch_size=batch_size)
            for (place, _), logits in zip(part, prediction.mask_logits, strict=True):
                mosaic.add(place, logits)
            scores.append(prediction.image_score)
        tile_scores = torch.cat(scores).reshape(mosaic.shape)
        score = float(tile_scores.max())
        return LargePrediction(score, torch.sigmoid(mosaic.whole()), tile_scores, score >= self.config.threshold)

    @torch.inference_mode()
    def calibrate(self, images: Tensor, *, batch_size: int = 16) -> None:
        """Measure the reconstruction errors of normal images that the model was not trained on, for its choice of t_s.

        They are measured whether or not the model chooses, so that the same weights can be asked both ways. A model
        that denoises nothing has none.

        Args:
            images: In [0, 1], shape (B, 3, H, W), at the size of the model's input.
            batch_size: Images that go through the denoiser together.
        """
        model = self._model
        if not isinstance(model, DiffusionAD) or self._own not in DIFFUSIONS:
            return
        errors = torch.cat([model.errors(*self._placed(batch)) for batch in torch.split(images, batch_size)])
        model.usual_errors.copy_(torch.stack(errors.aminmax()))

    def with_engine(self, variant: Variant, engine: Engine) -> "Detector":
        """The same detector on another runtime; weights are shared."""
        return Detector(self._model, self.config, self._device, variant=variant, engine=engine)

    def pipeline(self) -> Pipeline:
        """The model as one function, for an export.

        Raises:
            ValueError: If its paradigm is none of a few fixed passes.
        """
        model = self._model
        if isinstance(model, DiffusionAD) and self._own is not None and is_fixed(model.config, self._own):
            return Pipeline(model, self._own)
        what, passes = "this model has no such form", self.denoiser_passes(self._own or "")
        if self._own in LEVELS:
            what = "a model with guidance.t_s_range chooses t_s when it sees the image"
        elif passes:
            what = f"a model of paradigm {self._own} walks in {passes} passes"
        raise ValueError(f"{what}, which only torch runs")

    def noise(self, images: Tensor, timesteps: Sequence[int]) -> Tensor:
        """The noise of images, drawn from their bytes and the seed: (len(timesteps), B, 3, H, W) on the CPU."""
        digests = [hashlib.sha256(image.numpy().tobytes()).digest() for image in images.contiguous()]
        noise = torch.empty(len(timesteps), *images.shape)
        for level, key in enumerate(timesteps):
            for index, digest in enumerate(digests):
                noise[level, index] = self._draw(digest, key, images.shape[1:])
        return noise

    @property
    def weights(self) -> dict[str, Tensor]:
        """The weights of the model by name; not copied."""
        return self._model.state_dict()

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
        return read(images, self.config.image_size)

    @torch.inference_mode()
    def _predict_batch(self, images: Tensor, paradigm: Paradigm | None) -> Prediction:
        logits, reconstruction = self._run(images, paradigm)
        score = image_score(logits, self.config.model.top_k_fraction)
        return Prediction(
            score, torch.sigmoid(logits), logits, reconstruction.contiguous(), score >= self.config.threshold
        )

    def _run(self, images: Tensor, paradigm: Paradigm | None) -> Output:
        model = self._model
        if isinstance(model, DiffusionAD) and paradigm in model.paradigms and is_fixed(model.config, paradigm):
            if paradigm not in self._engines:
                self._engines[paradigm] = torch_engine(Pipeline(model, paradigm))
            guidance = model.config.guidance
            timesteps = (guidance.t_s, guidance.t_b)[: LEVELS[paradigm]]
            return self._engines[paradigm](images, self.noise(images, timesteps))
        logits, clean = model.infer(*self._placed(images), paradigm)
        return Output(logits.cpu().float(), clean.cpu())

    def _placed(self, images: Tensor) -> tuple[Tensor, Noise]:
        """Images on the device of the model, and the source of their noise."""
        placed = images.to(self._device, memory_format=memory_format(self._device))
        return placed, lambda key: self.noise(images, [key])[0].to(placed)

    def _draw(self, digest: bytes, key: int, shape: torch.Size) -> Tensor:
        identity = hashlib.sha256(digest + f"{self.config.seed}/{key}".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(identity[:8], "big") >> 1)
        return torch.randn(shape, generator=generator)


def _line(error: Exception) -> str:
    """Shorten a text of many lines to one that fits an error of ours."""
    if isinstance(error, ValidationError):
        error = ValueError("; ".join(f"`{'.'.join(map(str, e['loc']))}`: {e['msg']}" for e in error.errors()))
    return textwrap.shorten(str(error), 300, placeholder=" ...")
