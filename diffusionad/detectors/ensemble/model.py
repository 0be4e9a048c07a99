"""Members with weights: the map is the weighted sum of theirs, each scaled by normal images that it did not learn from.

Members that judge frozen features share one pass through the backbone.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

import torch
from pydantic import BeforeValidator, Field, SerializeAsAny, ValidationError
from torch import Tensor, nn

from diffusionad.base import Mode, Model, ModelConfig, Noise, NoiselessForm, Once, Output
from diffusionad.detectors import load
from diffusionad.detectors.shared.frozen import FrozenFit, FrozenModel, backbone_for, encode, levels_of, to_logits
from diffusionad.section import Section

MODE = "ensemble"


def _of_its_kind(detector: Any) -> Any:  # noqa: ANN401  # JSON, or the config itself
    """Read the settings of a member with the class of its kind."""
    if not isinstance(detector, dict):
        return detector
    try:
        return load(str(detector.get("kind"))).config.model_validate_json(json.dumps(detector))
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(
            f"member `{detector.get('kind')}`: {'.'.join(map(str, first['loc']))}: {first['msg']}"
        ) from None


class MemberConfig(Section):
    """One member."""

    weight: float = Field(gt=0, description="weight of its map; only the ratios of weights count")
    detector: Annotated[SerializeAsAny[ModelConfig], BeforeValidator(_of_its_kind)] = Field(
        description="its settings with their `kind`, as in params/detectors/KIND.yaml"
    )


class EnsembleConfig(ModelConfig):
    """params/detectors/ensemble.yaml."""

    kind: Literal["ensemble"]
    members: dict[Annotated[str, Field(pattern="^[a-z][a-z0-9_]*$")], MemberConfig] = Field(
        min_length=1, description="members by name, which is in small letters and a part of the names of figures"
    )


class Ensemble(Model):
    """One backbone, and members that judge its features.

    Args:
        config: Settings of the detector.
        image_size: (height, width) in pixels.

    Raises:
        ValueError: If a member cannot be built, or does not judge frozen features.
    """

    config: EnsembleConfig

    def __init__(self, config: EnsembleConfig, image_size: tuple[int, int]) -> None:
        super().__init__(config, image_size)
        self.member_models = nn.ModuleDict(
            {name: _build(name, member, image_size) for name, member in config.members.items()}
        )
        self._levels = levels_of(self._models)
        self.backbone = backbone_for(self._levels)

    @property
    def phases(self) -> tuple[Once]:
        """One phase, in which all members learn from the same features."""
        return (FrozenFit(self, self._models, self.members),)

    @property
    def modes(self) -> dict[str, Mode]:
        """One mode."""
        return {MODE: Mode(1, ())}

    @property
    def members(self) -> dict[str, float]:
        """Weights by name; their sum is 1."""
        total = sum(member.weight for member in self.config.members.values())
        return {name: member.weight / total for name, member in self.config.members.items()}

    @property
    def parts(self) -> dict[str, int]:
        """Number of stored values of each part."""
        parts = {"backbone": sum(weight.numel() for weight in self.backbone.parameters())}
        return parts | {name: sum(model.parts.values()) for name, model in self._models.items()}

    def infer(self, images: Tensor, _noise: Noise, _mode: str) -> Output:
        """Judge images in [0, 1], shape (B, 3, H, W)."""
        features = encode(self.backbone, self._levels, images)
        maps = torch.stack([model.deviation(features) for model in self._models.values()], dim=1)
        weights = torch.tensor(list(self.members.values())).to(maps)
        return Output(to_logits((weights[:, None, None] * maps).sum(dim=1)), member_logits=to_logits(maps))

    def form(self, mode: str) -> NoiselessForm:
        """The mode as one function."""
        return NoiselessForm(self, mode)

    def calibrate(self, batches: Iterable[tuple[Tensor, Noise]]) -> None:
        """Set the scale of the members that have none yet by held-out normal images."""
        if not all(model.is_scaled for model in self._models.values()):
            features = [encode(self.backbone, self._levels, images) for images, _ in batches]
            for model in self._models.values():
                model.calibrate_on(features)

    @property
    def _models(self) -> Mapping[str, FrozenModel]:
        return dict(self.member_models.items())  # type: ignore[arg-type]  # ModuleDict does not say what it holds


def _build(name: str, member: MemberConfig, image_size: tuple[int, int]) -> FrozenModel:
    kind = member.detector.kind
    model = load(kind).model(member.detector, image_size)
    if not isinstance(model, FrozenModel):
        what = f"member `{name}`: a `{kind}` does not judge frozen features and cannot be a member"
        raise ValueError(what)  # noqa: TRY004  # a wrong setting, not a wrong type in the code
    model.backbone = None  # the ensemble has one for all
    return model


CONFIG, MODEL = EnsembleConfig, Ensemble
