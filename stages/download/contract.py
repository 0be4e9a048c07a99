"""The contract of a category's images: the rules that they must pass before anything is trained on them."""

from collections.abc import Sequence
from typing import Any

from pydantic import Field

from diffusionad.section import Section
from stages.contracts.rules import Finding, Rule, Severity, check_rules, expect_between, expect_empty, expectations
from stages.download.evidence import DataEvidence


class ContractConfig(Section):
    """Part `contract` of section `download`."""

    min_side_px: int = Field(ge=1, description="smallest height and width of an image, px")
    max_megapixels: float = Field(gt=0, description="largest image, megapixels")
    modes: tuple[str, ...] = Field(description="accepted pixel formats, as Pillow names them")
    min_train: int = Field(ge=1, description="smallest number of normal images to train on")
    min_val: int = Field(ge=0, description="smallest number of normal images to validate on")
    anomalous_share: tuple[float, float] = Field(
        description="lowest and highest share of anomalous test images; a warning outside"
    )
    max_mask_area: float = Field(
        gt=0, le=1, description="largest share of the image that a mask marks in the median; a warning beyond"
    )
    max_soft_mask: float = Field(
        gt=0, le=1, description="largest share of a mask that is neither marked nor free; a warning beyond"
    )
    max_same_masks: float = Field(
        gt=0, le=1, description="largest share of masks that are one and the same; a warning beyond"
    )
    max_brightness_drift: float = Field(
        ge=0, le=1, description="largest change of the mean grey value of normal images since the data accepted last"
    )
    max_size_drift: float = Field(
        ge=0, description="largest relative change of the median side length since the data accepted last"
    )


def check_contract(config: ContractConfig, evidence: DataEvidence) -> list[Finding]:
    """Check the evidence against every rule.

    Returns:
        One finding per rule, in the order of `rules`.
    """
    return check_rules(rules(config), evidence._asdict())


def rules(config: ContractConfig) -> list[Rule]:
    """List the rules of the contract."""
    return [*_file_rules(config), *_label_rules(config), *_split_rules(), *_figure_rules(config)]


def _file_rules(config: ContractConfig) -> list[Rule]:
    side, modes = config.min_side_px, list(config.modes)
    stated = expectations().ExpectColumnPairValuesToBeEqual(
        column_A="sha256", column_B="stated_sha256", ignore_row_if="either_value_is_missing"
    )
    at_most = expectations().ExpectColumnValuesToBeBetween(column="megapixels", max_value=config.max_megapixels)
    sides = {
        name: expectations().ExpectColumnValuesToBeBetween(column=name, min_value=side) for name in ("width", "height")
    }
    return [
        _none("fault", "an image that can be read to its end"),
        Rule("images", "the SHA-256 that the data set states", stated),
        *(Rule("images", f"a {name} of at least {side} px", expectation) for name, expectation in sides.items()),
        Rule("images", f"at most {config.max_megapixels:g} megapixels", at_most),
        Rule("images", f"a pixel format among {', '.join(modes)}", _in("mode", modes)),
        Rule("images", "a path of its own", expectations().ExpectColumnValuesToBeUnique(column="path")),
        _none("namesake", "a name that differs in more than its ending"),
    ]


def _label_rules(config: ContractConfig) -> list[Rule]:
    from great_expectations.expectations.row_conditions import Column  # noqa: PLC0415  # slow to load

    is_good, trains = Column("defect") == "good", Column("split").is_in(["train", "val"])
    return [
        Rule("images", "a split", _in("split", ["train", "val", "test"])),
        Rule("images", "label 0 for defect `good`", _in("label", [0], is_good)),
        Rule("images", "label 1 for any other defect", _in("label", [1], Column("defect") != "good")),
        Rule("images", "normal images only to train and validate on", _in("label", [0], trains)),
        _none("mask_trouble", "a mask of the image's size for each anomalous image, and none for a normal one"),
        _none("stated_size", "the size that the data set states"),
        _none("scaled", "a photograph of the size that its annotation states; its mask was scaled alike", "warning"),
        _soft(config),
        Rule("masks", "an image for each mask", expectations().ExpectColumnValuesToNotBeNull(column="image")),
    ]


def _split_rules() -> list[Rule]:
    return [
        _none("twin", "no image in two splits"),
        _none("object_elsewhere", "the normal images of one object in one split"),
        _none("copy", "no image twice in a split", "warning"),
        _none("lookalike", "no near-duplicate in another split", "warning"),
        _none("object_in_training", "no anomalous image of an object that is trained on", "warning"),
    ]


def _figure_rules(config: ContractConfig) -> list[Rule]:
    low, high = config.anomalous_share
    return [
        _figure(f"at least {config.min_train} normal images to train on", "train_normal", config.min_train),
        _figure(f"at least {config.min_val} normal images to validate on", "val_normal", config.min_val),
        _figure("a normal test image", "test_normal", 1, None, "warning"),
        _figure("an anomalous test image", "test_anomalous", 1, None, "warning"),
        _figure(f"{low:.0%} to {high:.0%} of the test images anomalous", "anomalous_share", low, high, "warning"),
        _figure(
            f"masks that mark at most {config.max_mask_area:.0%} of the image in the median; are they inverted?",
            "median_mask_area",
            None,
            config.max_mask_area,
            "warning",
        ),
        _figure(
            f"at most {config.max_same_masks:.0%} of the masks the same; is it the outline of the part?",
            "same_masks",
            None,
            config.max_same_masks,
            "warning",
        ),
        _figure(
            f"a mean brightness within {config.max_brightness_drift:g} of the data accepted last",
            "brightness_drift",
            None,
            config.max_brightness_drift,
            "warning",
        ),
        _figure(
            f"a median side within {config.max_size_drift:.0%} of the data accepted last",
            "size_drift",
            None,
            config.max_size_drift,
            "warning",
        ),
    ]


def _soft(config: ContractConfig) -> Rule:
    title = f"a mask of which at most {config.max_soft_mask:.0%} is neither marked nor free; is it a photograph?"
    return expect_between("images", "mask_soft", title, (None, config.max_soft_mask), "warning")


def _none(column: str, title: str, severity: Severity = "critical") -> Rule:
    return expect_empty("images", column, title, severity)


def _in(column: str, values: Sequence[Any], where: Any = None) -> Any:  # noqa: ANN401  # a condition, an expectation
    return expectations().ExpectColumnValuesToBeInSet(column=column, value_set=list(values), row_condition=where)


def _figure(
    title: str, column: str, low: float | None, high: float | None = None, severity: Severity = "critical"
) -> Rule:
    return expect_between("figures", column, title, (low, high), severity)
