"""Detectors that judge the features of a frozen network: one pass through it serves all judges.

Images are encoded once; their features are kept, and every judge learns from them in seconds. So it can learn again
without a part of the images, and what it says of that part is what it will say of new normal images: that sets the
scale on which judges are added up, and gives the scores from which the threshold comes (cross-conformal prediction).
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812  # the name that torch's own documentation uses
from torch import Tensor, nn

from diffusionad.base import (
    Mode,
    Model,
    ModelConfig,
    Noise,
    NoiselessForm,
    Once,
    Output,
    TrainingImages,
    image_score,
)
from diffusionad.networks.efficientnet import LEVELS, EfficientNetLite0
from diffusionad.networks.folding import folded
from diffusionad.networks.layout import lay_out, memory_format
from diffusionad.networks.smoothing import enlarge

Features = Mapping[int, Tensor]
"""Feature maps (B, C, h, w) by level of the backbone."""

PIXELS = -1
"""Level of the grey image itself, (B, 1, H, W), for judges that look at lines that are too thin for the backbone."""

FOLDS = 4
"""Parts into which normal images are divided; each is judged by judges that did not learn from it."""
MAX_IMAGES = 1000
"""Normal images whose features are kept, evenly spaced among all: 0.4 MB each at 256 x 256 pixels."""
SHARPNESS = 3.0
"""Logits between a typical normal pixel and the highest pixel of a typical normal image, which is logit 0."""
JUDGED_AT_ONCE = 8


class Cache(NamedTuple):
    """Features of N normal images and of P synthetic anomalies; float16, so that they fit into memory."""

    normal: Features
    anomalous: Features
    masks: Tensor
    """Ground truth of the anomalies, bool, shape (P, 1, H, W)."""
    folds: Tensor
    """Fold of each normal image, shape (N,)."""
    sources: Tensor
    """Place, among the N, of the normal image under each anomaly, shape (P,); -1 for one that is not among them."""


class Judge(nn.Module, ABC):
    """Maps features to how unusual each position is, in any unit; higher is more anomalous.

    Args:
        levels: Rising levels of the backbone that it reads.
        stride: Pixels of the image per position of its grid.
        sigma: Standard deviation of the blur of its map, in pixels.
    """

    anomalies: int = 0
    """Synthetic anomalies that it learns from."""

    def __init__(self, levels: Sequence[int], stride: int, sigma: float) -> None:
        super().__init__()
        self.levels, self.stride, self.sigma = tuple(levels), stride, sigma

    @abstractmethod
    def forward(self, features: Features) -> Tensor:
        """Judge positions: (B, 1, h, w)."""

    @abstractmethod
    def learn(self, cache: Cache, generator: torch.Generator) -> None:
        """Learn from all images of the cache.

        Raises:
            ValueError: If there is nothing to learn from, or what is learned would grow too large.
        """

    @abstractmethod
    def without(self, left_out: Tensor, generator: torch.Generator) -> "Judge | None":
        """What `learn` would have given without some of its images; None where that takes too long.

        Args:
            left_out: Places of these images among the normal ones of the cache, (K,).
            generator: Source of randomness.
        """

    def forget(self) -> None:  # most keep nothing
        """Drop what `without` needs from `learn`."""

    def join(self, features: Features, *, pooled: bool) -> Tensor:
        """Bring the levels to the grid of the judge: (B, channels of all levels, h, w).

        Args:
            features: Feature maps.
            pooled: Whether each position is averaged with its neighbours, as in PatchCore.
        """
        chosen = [features[level] for level in self.levels]
        if pooled:
            chosen = [F.avg_pool2d(maps, 3, stride=1, padding=1) for maps in chosen]
        size = next(
            m.shape[2:] for m, level in zip(chosen, self.levels, strict=True) if stride_of(level) == self.stride
        )
        return torch.cat([F.interpolate(m, size=size, mode="bilinear", align_corners=False) for m in chosen], dim=1)


def stride_of(level: int) -> int:
    """Pixels of the image per position of a level."""
    stride = 1 if level == PIXELS else 2
    for each in LEVELS[: level + 1]:
        stride *= each.stride
    return stride


class FrozenModel(Model):
    """A frozen backbone and judges, whose maps are scaled by normal images and added up.

    Args:
        config: Settings of the detector.
        image_size: (height, width) in pixels.
        judges: The judges by name.
        weights: Their weights in the sum, by the same names; the sum of the weights is 1.

    Raises:
        ValueError: If the image has no position on the coarsest grid.
    """

    backbone: EfficientNetLite0 | None
    """None within an ensemble, which has one for all members."""
    typical_pixel: Tensor
    """(J,): what each judge says of a pixel of a normal image in the mean."""
    typical_peak: Tensor
    """(J,): the highest it says of a normal image, in the median."""

    def __init__(
        self,
        config: ModelConfig,
        image_size: tuple[int, int],
        judges: Mapping[str, Judge],
        weights: Mapping[str, float],
    ) -> None:
        super().__init__(config, image_size)
        self.judges = nn.ModuleDict(judges)
        self.weights = tuple(weights[name] for name in judges)
        self.levels = tuple(sorted({level for judge in judges.values() for level in judge.levels}))
        coarsest = max(map(stride_of, self.levels))
        if min(image_size) < coarsest:
            raise ValueError(
                f"one position of the coarsest features is {coarsest} pixels wide; {image_size} is smaller"
            )
        self.backbone = backbone_for(self.levels)
        self.register_buffer("typical_pixel", torch.zeros(len(judges)))
        self.register_buffer("typical_peak", torch.ones(len(judges)))
        self.is_scaled = False

    @property
    def phases(self) -> tuple[Once, ...]:
        """One phase."""
        return (FrozenFit(self, {self.config.kind: self}, {self.config.kind: 1.0}),)

    @property
    def modes(self) -> dict[str, Mode]:
        """One mode."""
        return {self.config.kind: Mode(1, ())}

    @property
    def parts(self) -> dict[str, int]:
        """Number of stored values of each part; what is remembered counts like what is learned."""
        named = {name: part for name, part in self.named_children() if name != "judges"} | dict(self.judges.items())
        return {name: sum(value.numel() for value in part.state_dict().values()) for name, part in named.items()}

    @property
    def anomalies(self) -> int:
        """Synthetic anomalies that the judges learn from."""
        return max(judge.anomalies for judge in self._judges)

    def infer(self, images: Tensor, _noise: Noise, _mode: str) -> Output:
        """Judge images in [0, 1], shape (B, 3, H, W)."""
        assert self.backbone is not None  # noqa: S101  # only an ensemble takes it away, and asks for `deviation`
        return Output(to_logits(self.deviation(encode(self.backbone, self.levels, images))))

    def form(self, mode: str) -> NoiselessForm:
        """The mode as one function."""
        return NoiselessForm(self, mode)

    def deviation(self, features: Features) -> Tensor:
        """Weighted sum of the scaled maps, (B, H, W): 0 is a typical pixel, 1 the highest of a typical normal image."""
        return self._scaled(self._maps(self._judges, features))

    def learn(self, cache: Cache, generator: torch.Generator) -> Tensor | None:
        """Let the judges learn, and set the scale by normal images that they did not learn from.

        Returns:
            `deviation` of the normal images of the cache, float16, shape (N, H, W), each by judges that did not learn
            from it; None if a judge cannot learn again in passing, and `calibrate` has to set the scale.

        Raises:
            ValueError: If there are fewer than two normal images.
        """
        count = len(cache.folds)
        if count < 2:  # noqa: PLR2004  # one to learn from, one to judge
            raise ValueError(
                f"the scale of `{self.config.kind}` needs at least 2 normal images to train on, got {count}"
            )
        held_out = torch.empty(count, len(self.judges), *self.image_size, dtype=torch.float16)
        complete = [
            self._learn(judge, cache, generator, held_out[:, place]) for place, judge in enumerate(self._judges)
        ]
        if not all(complete):
            return None
        self._set_scale(torch.split(held_out, JUDGED_AT_ONCE))
        self.is_scaled = True
        return torch.cat([self._scaled(part.float()).half() for part in torch.split(held_out, JUDGED_AT_ONCE)])

    def _learn(self, judge: Judge, cache: Cache, generator: torch.Generator, held_out: Tensor) -> bool:
        """Let a judge learn; fill its maps of normal images that it did not learn from, (N, H, W), where it can."""
        judge.learn(cache, generator)
        for fold in sorted(set(cache.folds.tolist())):
            left_out = (cache.folds == fold).nonzero()[:, 0]
            twin = judge.without(left_out, generator)
            if twin is None:
                break
            for places in torch.split(left_out, JUDGED_AT_ONCE):
                with torch.no_grad():
                    held_out[places] = self._maps([twin], take(cache.normal, places))[:, 0].half().cpu()
        judge.forget()
        return twin is not None

    def calibrate(self, batches: Iterable[tuple[Tensor, Noise]]) -> None:
        """Set the scale by held-out normal images, unless training did."""
        if not self.is_scaled:
            assert self.backbone is not None  # noqa: S101  # an ensemble asks for `calibrate_on`
            self.calibrate_on([encode(self.backbone, self.levels, images) for images, _ in batches])

    def calibrate_on(self, batches: Sequence[Features]) -> None:
        """Set the scale by features of held-out normal images, unless training did."""
        if not self.is_scaled:
            self._set_scale([self._maps(self._judges, features) for features in batches])

    @property
    def _judges(self) -> list[Judge]:
        return list(self.judges.values())  # type: ignore[arg-type]  # ModuleDict does not say what it holds

    def _maps(self, judges: Sequence[Judge], features: Features) -> Tensor:
        """Maps of judges at the size of the image, (B, J, H, W)."""
        return torch.cat([enlarge(judge(features), self.image_size, judge.sigma) for judge in judges], dim=1)

    def _set_scale(self, batches: Sequence[Tensor]) -> None:
        self.typical_pixel.copy_(torch.cat([maps.float().mean(dim=(2, 3)) for maps in batches]).mean(dim=0))
        self.typical_peak.copy_(torch.cat([maps.float().amax(dim=(2, 3)) for maps in batches]).median(dim=0).values)

    def _scaled(self, maps: Tensor) -> Tensor:
        weights = torch.tensor(self.weights).to(maps)
        factors = weights / (self.typical_peak - self.typical_pixel).clamp(min=1e-6)
        return (maps * factors[:, None, None]).sum(dim=1) - (self.typical_pixel * factors).sum()


class FrozenFit(Once):
    """Encodes the images once, and lets every model learn from their features.

    Args:
        owner: Model with the backbone.
        models: The models that learn.
        weights: Their weights in the map of the owner; None if other models have a part in it.
    """

    name: ClassVar[str] = "features"

    def __init__(self, owner: Model, models: Mapping[str, FrozenModel], weights: Mapping[str, float] | None) -> None:
        self._owner, self._models, self._weights = owner, models, weights

    def fit(self, images: TrainingImages, generator: torch.Generator) -> None:
        """Load the backbone's weights, encode the images and learn.

        Raises:
            ValueError: If the weights are not installed, or there are too few images.
        """
        backbone = self._owner.backbone
        assert isinstance(backbone, EfficientNetLite0)  # noqa: S101  # the owner has one
        backbone.load_pretrained()
        lay_out(backbone, next(backbone.parameters()).device)
        anomalies = max(model.anomalies for model in self._models.values())
        cache = fill_cache(folded(backbone), levels_of(self._models), images, anomalies, generator)
        maps = {name: model.learn(cache, generator) for name, model in self._models.items()}
        self._owner.held_out_scores = None if self._weights is None else self._scores(maps, self._weights)

    def _scores(self, maps: Mapping[str, Tensor | None], weights: Mapping[str, float]) -> Tensor | None:
        total: Tensor | None = None
        for name, each in maps.items():
            if each is None:
                return None
            total = weights[name] * each if total is None else total.add_(each, alpha=weights[name])
        assert total is not None  # noqa: S101  # there is at least one model
        top_k_fraction = self._owner.config.top_k_fraction
        parts = [
            image_score(Output(to_logits(part.float())), top_k_fraction) for part in torch.split(total, JUDGED_AT_ONCE)
        ]
        return torch.cat(parts)


def levels_of(models: Mapping[str, FrozenModel]) -> tuple[int, ...]:
    """Levels that at least one of the models reads, rising."""
    return tuple(sorted({level for model in models.values() for level in model.levels}))


def backbone_for(levels: Sequence[int]) -> EfficientNetLite0:
    """A backbone with some levels; it has one at least."""
    return EfficientNetLite0([level for level in levels if level != PIXELS] or [0])


def encode(backbone: EfficientNetLite0, levels: Sequence[int], images: Tensor) -> dict[int, Tensor]:
    """Feature maps of images in [0, 1], shape (B, 3, H, W), by level; `levels` are those of `backbone_for`."""
    features = {PIXELS: images.mean(dim=1, keepdim=True)} if PIXELS in levels else {}
    if inner := [level for level in levels if level != PIXELS]:
        features |= zip(inner, backbone(images), strict=True)
    return features


def take(features: Features, places: Tensor) -> dict[int, Tensor]:
    """Features of some of the images, in float32."""
    return {level: maps[places].float() for level, maps in features.items()}


def to_logits(deviation: Tensor) -> Tensor:
    """Map deviations to logits; any shape."""
    return SHARPNESS * (deviation - 1)


@torch.no_grad()
def fill_cache(
    backbone: EfficientNetLite0,
    levels: Sequence[int],
    images: TrainingImages,
    anomalies: int,
    generator: torch.Generator,
) -> Cache:
    """Encode normal images, at most `MAX_IMAGES` of them, and `anomalies` synthetic anomalies."""
    layout = memory_format(next(backbone.parameters()).device)

    def encoded(batch: Tensor) -> dict[int, Tensor]:
        return {k: v.half() for k, v in encode(backbone, levels, batch.contiguous(memory_format=layout)).items()}

    kept = torch.zeros(images.count, dtype=torch.bool)
    kept[torch.linspace(0, images.count - 1, min(images.count, MAX_IMAGES)).round().long()] = True
    normal, seen = [], 0
    for batch in images.normal():
        chosen = batch[kept[seen : seen + len(batch)].to(batch.device)]
        seen += len(batch)
        if len(chosen):
            normal.append(encoded(chosen))
    anomalous, masks, sources = [], [torch.empty(0, 1, 1, 1, dtype=torch.bool)], [torch.empty(0, dtype=torch.long)]
    for drawn in images.anomalous(anomalies) if anomalies else ():
        anomalous.append(encoded(drawn.images))
        masks.append(drawn.mask > 0)
        sources.append(drawn.source)
    return Cache(
        {level: torch.cat([part[level] for part in normal]) for level in levels},
        {level: torch.cat([part[level] for part in anomalous]) for level in levels} if anomalous else {},
        torch.cat(masks[1:]) if anomalous else masks[0],
        torch.randperm(int(kept.sum()), generator=generator) % FOLDS,
        torch.where(kept, kept.cumsum(dim=0) - 1, -1)[torch.cat(sources)],
    )
