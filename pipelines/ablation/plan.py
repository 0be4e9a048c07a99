"""What an ablation consists of: rows of one table, by the paper's Tables VII and VIII and Figs. 9 and 10."""

from typing import Literal, NamedTuple

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt

from diffusionad.section import Section

Walk = Literal["ddim", "iterative"]
Diffusion = Literal["norm_guided", "one_step", "ddim", "iterative"]
OURS: Diffusion = "norm_guided"
CONTROLS = ("centre", "brightness", "contrast", "gradient", "picture_size")
"""Controls that hold no network (`stages.tools.controls`)."""


class AblationConfig(Section):
    """Section `ablation` of params.yaml."""

    seeds: tuple[NonNegativeInt, ...] = Field(min_length=1, description="of the trainings; each is a row of its own")
    walks: tuple[Walk, ...] = Field(
        description="inference by many steps (Table VII); `iterative` takes hundreds of passes an image"
    )
    trainings: tuple[Diffusion, ...] = Field(
        description="beside norm_guided (Table VIII); a walk takes all its passes in every training step"
    )
    noise_scales: tuple[NonNegativeInt, ...] = Field(description="t of one-step denoising (Fig. 9)")
    guidance_scales: tuple[NonNegativeFloat, ...] = Field(description="w of norm guidance (Fig. 10)")
    t_s_ranges: tuple[tuple[NonNegativeInt, NonNegativeInt], ...] = Field(
        description="norm guidance with a t_s for each image between these (guidance.t_s_range)"
    )
    local_exponents: tuple[NonNegativeFloat, ...] = Field(
        description="norm guidance with a w for each pixel (guidance.local.exponent)"
    )
    patchcore_size: tuple[PositiveInt, PositiveInt] | None = Field(
        description="height and width for the rival, px; null leaves it out, with the need of its weights"
    )


class Row(NamedTuple):
    """One model, trained in one way and asked in one way."""

    group: str
    """Part of the table."""
    trained: str
    """A paradigm, `patchcore`, `nothing` (random weights) or `none` (a control without a network)."""
    inferred: str
    """A paradigm, `patchcore` or the name of a control."""
    t_s: int | None = None
    """In place of the model's own."""
    scale: float | None = None
    """In place of the model's own guidance."""
    t_s_range: tuple[int, int] | None = None
    """In place of the model's own."""
    exponent: float | None = None
    """In place of the model's own, of local guidance."""

    @property
    def name(self) -> str:
        """Unique in an ablation; a file name."""
        changes = [
            *([] if self.t_s is None else [f"-t{self.t_s}"]),
            *([] if self.t_s_range is None else ["-t{}to{}".format(*self.t_s_range)]),
            *([] if self.scale is None else [f"-w{self.scale:g}"]),
            *([] if self.exponent is None else [f"-local{self.exponent:g}"]),
        ]
        return f"{self.trained}-as-{self.inferred}{''.join(changes)}"

    @property
    def label(self) -> str:
        """For a person."""
        if self.trained == "none":
            return self.inferred.replace("_", " ")
        changes = [
            *([] if self.t_s is None else [f", t = {self.t_s}"]),
            *([] if self.t_s_range is None else [", t_s {} to {} by image".format(*self.t_s_range)]),
            *([] if self.scale is None else [f", w = {self.scale:g}"]),
            *([] if self.exponent is None else [f", w by pixel, exponent {self.exponent:g}"]),
        ]
        return LABELS.get((self.trained, self.inferred), f"{self.trained} as {self.inferred}") + "".join(changes)


LABELS = {
    ("identity", "identity"): "segmentation alone",
    (OURS, "identity"): "reconstruction := input",
    ("nothing", OURS): "random weights",
    ("patchcore", "patchcore"): "PatchCore-Lite0",
    (OURS, OURS): "norm-guided",
    ("one_step", "one_step"): "one-step",
    ("autoencoder", "autoencoder"): "autoencoder",
    (OURS, "one_step"): "norm-guided as one-step",
}
"""How (trained, inferred) are called; others are named by both."""


def plan(config: AblationConfig) -> list[Row]:
    """The rows, each once; those that share a training have the same `trained`.

    Example:
        >>> few = AblationConfig(
        ...     seeds=(0,), walks=(), trainings=(), noise_scales=(), guidance_scales=(2.0,), t_s_ranges=(),
        ...     local_exponents=(), patchcore_size=None
        ... )
        >>> [row.label for row in plan(few)][:4]
        ['norm-guided', 'autoencoder', 'norm-guided as one-step', 'norm-guided, w = 2']
    """
    paradigms = [Row("paradigm", OURS, OURS), Row("paradigm", "autoencoder", "autoencoder")]
    paradigms += [Row("paradigm", OURS, walk) for walk in config.walks]
    if "one_step" in config.trainings:
        paradigms.append(Row("paradigm", "one_step", "one_step"))
    pairs = [
        Row("training", trained, inferred)
        for trained in (OURS, *config.trainings)
        for inferred in (OURS, "one_step", *config.walks)
    ]
    rows = [
        *paradigms,
        *pairs,
        *(Row("noise scale", OURS, "one_step", t_s=t) for t in config.noise_scales),
        *(Row("noise scale", OURS, OURS, t_s_range=bounds) for bounds in config.t_s_ranges),
        *(Row("guidance", OURS, OURS, scale=scale) for scale in config.guidance_scales),
        *(Row("guidance", OURS, OURS, exponent=exponent) for exponent in config.local_exponents),
        Row("control", "identity", "identity"),
        Row("control", OURS, "identity"),
        Row("control", "nothing", OURS),
        *(Row("control", "none", name) for name in CONTROLS),
    ]
    if config.patchcore_size is not None:
        rows.append(Row("rival", "patchcore", "patchcore"))
    unique: dict[str, Row] = {}
    for row in rows:  # a pair may stand among the paradigms already
        unique.setdefault(row.name, row)
    return list(unique.values())
