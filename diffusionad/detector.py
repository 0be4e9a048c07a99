"""Detector: images in, scores and anomaly maps out; the only way to use a trained model."""

import json
import textwrap
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import torch
from PIL import Image
from pydantic import BeforeValidator, Field, SerializeAsAny, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from diffusionad.base import Form, Mode, Model, ModelConfig, Output, image_score
from diffusionad.detectors import load
from diffusionad.networks.layout import lay_out, memory_format
from diffusionad.runtime.batches import Images, batches, read
from diffusionad.runtime.engines import Engine, Precision, Runtime, Variant, open_engine, torch_engine
from diffusionad.runtime.noise import ImageNoise
from diffusionad.runtime.record import digest_of, fastest, read_record
from diffusionad.runtime.scale import MIDDLE, ScoreScale
from diffusionad.runtime.tiles import Mosaic
from diffusionad.section import Section

WEIGHTS = "model.safetensors"
CONFIG = "model.json"

TORCH = Variant("torch", "fp32")


def _of_its_kind(model: Any) -> Any:  # noqa: ANN401  # JSON, or the config itself
    """Read the settings of a model with the class of its kind."""
    if not isinstance(model, dict):
        return model
    try:
        return load(str(model.get("kind"))).config.model_validate_json(json.dumps(model))
    except ValidationError as error:
        raise ValueError(_faults(error)) from None


class DetectorConfig(Section):
    """What a checkpoint holds beside its weights: model.json."""

    dataset: str
    category: str
    manifest: str = Field(description="SHA-256 of the manifest it was trained on")
    image_size: tuple[int, int] = Field(description="(height, width) in pixels to which images are resized")
    seed: int = Field(ge=0, description="seed of the inference noise")
    threshold: float = Field(description="images whose raw score reaches it are anomalous; set by normal images")
    model: Annotated[SerializeAsAny[ModelConfig], BeforeValidator(_of_its_kind)]
    # The only default: versions that were registered without a scale stay readable.
    scale: ScoreScale | None = Field(default=None, description="normal images behind the threshold; null: not kept")

    def build(self) -> Model:
        """The model with its first weights."""
        return load(self.model.kind).model(self.model, self.image_size)


class Prediction(NamedTuple):
    """The verdict of a detector on B images; all tensors are on the CPU."""

    image_score: Tensor
    """(B,), float64, in [0, 1]; higher is more anomalous. `Detector.threshold` parts it: 0.5 for every kind, as
    `ScoreScale.reported` describes; raw, for most kinds the mean of the map's highest pixels, for a model without a
    scale."""
    anomaly_map: Tensor
    """(B, H, W), float32, in [0, 1], at the size of the model's input."""
    mask_logits: Tensor
    """(B, H, W), float32: the anomaly map before the sigmoid. It ranks pixels even where the map is rounded to 1."""
    reconstruction: Tensor | None
    """(B, 3, H, W), float32, in [0, 1]: the images as they would be without an anomaly; None where none is made."""
    is_anomalous: Tensor
    """(B,), bool: whether the score reaches the calibrated threshold."""
    member_logits: Tensor | None = None
    """(B, M, H, W), float32: the maps of the members of an ensemble, in the order of `Detector.members`; None in a
    runtime other than torch, and where there are no members."""
    normals_above: Tensor | None = None
    """(B,), float64, in [0, 1]: the share of the normal images of the calibration that score higher; None for a model
    without a scale."""


class LargePrediction(NamedTuple):
    """The verdict of a detector on one image larger than its input, tile by tile."""

    image_score: float
    """The highest score of a tile: the threshold was calibrated on images of the size of a tile."""
    anomaly_map: Tensor
    """(H, W), float32, in [0, 1], at the size of the image."""
    tile_scores: Tensor
    """(rows, columns), float64."""
    is_anomalous: bool
    """Whether some tile reaches the threshold. A normal image of n tiles has n chances of a false alarm."""


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
        self._own_mode = next(iter(self._model.modes))
        self._engines: dict[str, Engine | None] = {} if engine is None else {self._own_mode: engine}

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
            folder: Folder that `save` or `diffusionad export` wrote.
            device: Device of the networks in torch; ONNX Runtime and OpenVINO run on the CPU.
            runtime: torch, onnx or openvino. auto takes the export of the folder that was the fastest when it was made
                on this machine, or torch where none was faster.
            precision: fp32, bf16 or int8; chosen by auto too.

        Raises:
            ValueError: If a file is missing or damaged, a runtime is not installed, or there is no such export of this
                model; the message names it.
        """
        detector = cls._load_weights(Path(folder), device)
        if runtime == "torch":
            if precision == "fp32":
                return detector
            return detector.with_engine(Variant("torch", precision), torch_engine(detector.form(), precision))
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

    def calibrated(
        self,
        threshold: float,
        normal_scores: Sequence[float],
        *,
        false_alarm_rate: float | None = None,
        judged_by_copies: int | None = None,
    ) -> "Detector":
        """The same model with a threshold of raw scores, and what it comes from, as `ScoreScale` keeps it."""
        scale = ScoreScale(
            normal_scores=tuple(sorted(normal_scores)),
            false_alarm_rate=false_alarm_rate,
            judged_by_copies=judged_by_copies,
        )
        return Detector(
            self._model,
            self.config.model_copy(update={"threshold": threshold, "scale": scale}),
            self._device,
            variant=self.variant,
            engine=self._engines.get(self._own_mode),
        )

    @property
    def threshold(self) -> float:
        """Images whose reported score reaches it are anomalous: 0.5 on the scale that all kinds share."""
        return self.config.threshold if self.config.scale is None else MIDDLE

    def predict(self, images: Images, *, mode: str | None = None, batch_size: int = 16) -> Prediction:
        """Score images and mark their anomalous pixels.

        Args:
            images: A float tensor (B, 3, H, W) in [0, 1] of any size, or paths and PIL images.
            mode: One of `modes`; the model's own by default.
            batch_size: Images that go through the networks together.

        Raises:
            ValueError: If there is no image, a file is not an image, a tensor has another shape, type or range, or the
                model has no such mode.
        """
        mode = mode or self._own_mode
        if mode not in self.modes:
            raise ValueError(f"this model infers as {', '.join(self.modes)}; it cannot infer as {mode}")
        parts = [self._predict_batch(batch, mode) for batch in batches(images, self.config.image_size, batch_size)]
        if not parts:
            raise ValueError("no images to predict; pass a tensor, or a list of paths or PIL images, that is not empty")
        made = [part.reconstruction for part in parts if part.reconstruction is not None]
        members = [part.member_logits for part in parts if part.member_logits is not None]
        above = [part.normals_above for part in parts if part.normals_above is not None]
        return Prediction(
            torch.cat([part.image_score for part in parts]),
            torch.cat([part.anomaly_map for part in parts]),
            torch.cat([part.mask_logits for part in parts]),
            torch.cat(made) if made else None,
            torch.cat([part.is_anomalous for part in parts]),
            torch.cat(members) if members else None,
            torch.cat(above) if above else None,
        )

    def predict_large(self, image: str | Path | Image.Image, *, overlap: int, batch_size: int = 16) -> LargePrediction:
        """Score an image larger than the model's input at its own size, tile by tile.

        For a model that was trained on crops at the scale of the image. Beside the image, one map and one batch of
        tiles are in memory.

        Args:
            image: A path or a PIL image, at least of the model's size.
            overlap: Smallest number of pixels that neighbouring tiles share; they are blended there.
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
        return LargePrediction(score, torch.sigmoid(mosaic.whole()), tile_scores, score >= self.threshold)

    def calibrate(self, images: Tensor, *, batch_size: int = 16) -> None:
        """Calibrate the model on normal images that it was not trained on.

        Args:
            images: Images in [0, 1], shape (B, 3, H, W), at the size of the model's input.
            batch_size: Images that go through the networks together.
        """
        with torch.inference_mode(not self._model.needs_gradient):
            self._model.calibrate(self._placed(batch) for batch in torch.split(images, batch_size))

    def with_engine(self, variant: Variant, engine: Engine) -> "Detector":
        """The same detector on another runtime; weights are shared."""
        return Detector(self._model, self.config, self._device, variant=variant, engine=engine)

    def form(self) -> Form:
        """Return the model's own mode as one function, for an export.

        Raises:
            ValueError: If the mode has no such form.
        """
        form = self._model.form(self._own_mode)
        if form is not None:
            return form
        mode = self.modes[self._own_mode]
        what = f"a `{self.config.model.kind}` has no such form"
        if mode.noise_keys is None:
            what = f"mode `{self._own_mode}` ({mode.passes} passes) chooses its noise when it sees the image"
        raise ValueError(f"{what}, so only torch runs this model")

    def noise(self, images: Tensor, keys: Sequence[int]) -> Tensor:
        """The noise of images on the CPU, drawn from their bytes and the seed: (len(keys), B, 3, H, W)."""
        source = ImageNoise(images, images, self.config.seed)
        return torch.stack([source(key) for key in keys]) if keys else torch.empty(0, *images.shape)

    @property
    def weights(self) -> dict[str, Tensor]:
        """The weights of the model by name; not copied."""
        return self._model.state_dict()

    @property
    def parameters(self) -> dict[str, int]:
        """Number of weights of each part."""
        return self._model.parts

    @property
    def members(self) -> Mapping[str, float]:
        """Weights of the members of an ensemble by name; empty for other models."""
        return self._model.members

    @property
    def modes(self) -> Mapping[str, Mode]:
        """Ways to infer by name, the model's own first."""
        return self._model.modes

    def read(self, images: Sequence[str | Path | Image.Image]) -> Tensor:
        """Read paths and PIL images at the size of the model's input: (B, 3, H, W), float32 in [0, 1].

        Raises:
            ValueError: If an item is neither a path nor a PIL image, or cannot be read.
        """
        return read(images, self.config.image_size)

    def _predict_batch(self, images: Tensor, mode: str) -> Prediction:
        with torch.inference_mode(not self._model.needs_gradient):
            output = self._run(images, mode)
        self._check(output, images)
        raw, logits = image_score(output, self.config.model.top_k_fraction), output.mask_logits
        made = None if output.reconstruction is None else output.reconstruction.contiguous()
        threshold, scale = self.config.threshold, self.config.scale
        return Prediction(
            raw if scale is None else scale.reported(raw, threshold),
            torch.sigmoid(logits),
            logits,
            made,
            raw >= threshold,
            output.member_logits,
            None if scale is None else scale.normals_above(raw),
        )

    def _run(self, images: Tensor, mode: str) -> Output:
        if mode not in self._engines:
            form = self._model.form(mode)
            self._engines[mode] = None if form is None else torch_engine(form)
        engine, keys = self._engines[mode], self.modes[mode].noise_keys
        if engine is not None and keys is not None:
            return engine(images, self.noise(images, keys))
        output = self._model.infer(*self._placed(images), mode)
        return output.map(lambda part: part.detach().cpu().float())

    def _check(self, output: Output, images: Tensor) -> None:
        """Refuse outputs of wrong shapes, which a kind of another package may give."""
        batch, _, height, width = images.shape
        size, members = (height, width), len(self._model.members)
        expected = Output((batch, *size), (batch, 3, *size), (batch,), (batch, members, *size))  # type: ignore[arg-type]  # shapes
        for name, part, shape in zip(Output._fields, output, expected, strict=True):
            if part is not None and tuple(part.shape) != shape:
                kind = self.config.model.kind
                raise ValueError(f"detector `{kind}`: its {name} are of shape {tuple(part.shape)}, expected {shape}")

    def _placed(self, images: Tensor) -> tuple[Tensor, ImageNoise]:
        """Images on the device of the model, and the source of their noise."""
        placed = images.to(self._device, memory_format=memory_format(self._device))
        return placed, ImageNoise(images, placed, self.config.seed)


def _line(error: Exception) -> str:
    """Shorten an error of many lines to one line of at most 300 characters."""
    text = _faults(error) if isinstance(error, ValidationError) else str(error)
    return textwrap.shorten(text, 300, placeholder=" ...")


def _faults(error: ValidationError) -> str:
    return "; ".join(f"`{'.'.join(map(str, e['loc']))}`: {e['msg']}" for e in error.errors())
