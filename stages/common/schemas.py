"""The files that stages hand on: what stands in each, and the one way to write and to read it.

| file | form | written by | read by |
|---|---|---|---|
| `metrics.json` | `Metrics` | `write_metrics` | `read_metrics` |
| `scores.parquet` | `TEST_SCORES` | `write_test_scores` | `read_test_scores` |
| `history.jsonl` | `HISTORY` | `write_history` | `read_history` |
| `benchmark.json` | `ModelCost` | `write_document` | `read_document` |
| `latency.json` | `MeasuredTimes` | `write_document` | `read_document` |
| `synthetic/settings.json` | `diffusionad.synthesis.blend.SynthesisConfig` | `write_document` | `read_document` |

The manifest has its schema in `diffusionad.data.manifest`. A file of another form is refused in one line, by whoever
writes it and by whoever reads it.
"""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, Field, ValidationError

from stages.files import atomic_file, read_json, write_json

D = TypeVar("D", bound=BaseModel)
AGAIN = "run `dvc repro` to make it again"

_PIXEL_FIGURES = {
    "pixel_auroc": "area under the ROC curve of pixels",
    "pixel_ap": "average precision of pixels",
    "pixel_pro": "per-region overlap, averaged up to a false positive rate of evaluation.figures.fpr_limit",
}
FIGURES: Mapping[str, str] = {
    "image_auroc": "area under the ROC curve of image scores",
    "image_ap": "average precision of image scores",
    "image_f1": "best F1 of image scores over all thresholds",
    **{f"synthetic_{name}": f"{what}, on synthetic defects" for name, what in _PIXEL_FIGURES.items()},
    **_PIXEL_FIGURES,
    "promised_false_alarm_rate": "share of new normal images that the threshold is expected to flag; its interval is "
    "that of `at_threshold_false_alarm_rate` on as many test images",
}
"""Figures in [0, 1]; `_low` and `_high` behind the name are the ends of its 95 % interval."""
INTERVAL_ENDS = frozenset(f"{name}_{end}" for name in FIGURES for end in ("low", "high"))
NUMBERS: Mapping[str, str] = {
    "synthetic_pixel_rounding": "the same as `pixel_rounding`, for the synthetic figures",
    "pixel_rounding": "the most that a pixel figure can be off, since maps are rounded to float16",
    "threshold": "the calibrated threshold of image scores",
    "promisable_false_alarm_rate": "the lowest rate that so many normal images can promise: 1 / (number + 1)",
    "asked_false_alarm_rate": "the rate that was asked for, operating_point.false_alarm_rate",
    "at_threshold_precision": "share of flagged images that are anomalous",
    "at_threshold_recall": "share of anomalous images that are flagged",
    "at_threshold_f1": "harmonic mean of the two",
    "at_threshold_false_alarm_rate": "share of normal images that are flagged",
    "reconstruction_psnr_normal": "peak signal-to-noise ratio of reconstructions outside synthetic anomalies, dB",
    "reconstruction_psnr_anomalous": "the same inside them, against the image without the anomaly, dB",
    "reconstruction_kept_anomaly": "share of a synthetic anomaly that its reconstruction keeps; 1 is a copy",
    "reconstruction_feature_distance": "squared distance of the features of reconstruction and image without the "
    "anomaly, inside it, relative to that of the anomalous image; 1 is a copy",
}
"""Numbers without an interval."""
COUNTS: Mapping[str, str] = {
    "calibration_images": "normal images that set the threshold",
    "calibration_images_by_copies": "those of them that the model learned from, judged by copies that did not",
    "calibration_images_needed": "as many as `asked_false_alarm_rate` needs",
    "photographs_needed": "good photographs that give as many, split as these are",
    "test_normal": "normal test images",
    "test_anomalous": "anomalous test images",
    "test_masks": "test images with a mask that is not empty",
    "synthetic_test_masks": "synthetic test images, which stand in for masks",
}
REASONS: Mapping[str, str] = {
    "image_reason": "why figures of images are missing",
    "synthetic_pixel_reason": "why figures of pixels on synthetic defects are missing",
    "pixel_reason": "why figures of pixels are missing",
    "reconstruction_reason": "why figures of reconstructions are missing",
    "promised_reason": "why no rate of false alarms is promised",
}
"""Sentences beside figures that are null."""
PART_FIGURES: Mapping[str, str] = {"image_auroc": "image AUROC", "pixel_pro": "PRO", "pixel_ap": "pixel AP"}
"""Figures of each part of an ensemble, by their names for the whole, and their titles. They have no intervals."""
_SYNTHETIC = "synthetic_"
_ALL_PART_FIGURES = [*PART_FIGURES, *(_SYNTHETIC + name for name in PART_FIGURES if name.startswith("pixel_"))]
_WEIGHT = re.compile(r"member_(.+)_weight")


class Figure(NamedTuple):
    """One number of metrics.json."""

    name: str
    value: float | None
    """None where it cannot be computed."""
    low: float | None
    """Lower end of the 95 % interval; None where there is none."""
    high: float | None
    """Upper end."""


class Part(NamedTuple):
    """Figures of one member of an ensemble alone, or of the ensemble without it."""

    title: str
    """`m alone` or `without m`, for a member m."""
    weight: float | None
    """Weight of the member in the ensemble, in (0, 1]; None for the ensemble without it."""
    figures: dict[str, float | None]
    """Those of `PART_FIGURES`, by the names that they have for the whole; `synthetic_pixel_*` on synthetic defects."""


class Metrics(NamedTuple):
    """metrics.json: one flat object of `FIGURES`, `NUMBERS`, `COUNTS` and `REASONS`; some are missing.

    For each member m of an ensemble there are also `member_m_weight`, `PART_FIGURES` of the member alone as
    `member_m_image_auroc` or `synthetic_member_m_pixel_pro`, and, where there are other members, of the ensemble
    without it as `without_m_image_auroc`.
    """

    content: Mapping[str, float | int | str | None]
    """All of it, in the order of the file."""

    @property
    def numbers(self) -> dict[str, float | None]:
        """Everything but the reasons: figures, both ends of their intervals, numbers and counts."""
        return {name: value for name, value in self.content.items() if not isinstance(value, str)}

    @property
    def reasons(self) -> dict[str, str]:
        """Why figures are missing."""
        return {name: value for name, value in self.content.items() if isinstance(value, str)}

    @property
    def figures(self) -> list[Figure]:
        """Figures, numbers and counts, each with its interval where it has one."""
        numbers = self.numbers
        return [
            Figure(name, value, numbers.get(f"{name}_low"), numbers.get(f"{name}_high"))
            for name, value in numbers.items()
            if name not in INTERVAL_ENDS
        ]

    @property
    def parts(self) -> list[Part]:
        """Each member of an ensemble alone, then the ensemble without each; [] for other detectors."""
        numbers, members = self.numbers, _members(self.content)
        alone = [(f"{name} alone", numbers[f"member_{name}_weight"], f"member_{name}") for name in members]
        without = [(f"without {name}", None, f"without_{name}") for name in members]
        parts = [
            Part(title, weight, {figure: numbers[key] for key, figure in _part_keys(part).items() if key in numbers})
            for title, weight, part in [*alone, *without]
        ]
        return [part for part in parts if part.figures]


_NUMBER = (float, int, type(None))
_KINDS: Mapping[str, tuple[type, ...]] = {
    **dict.fromkeys([*FIGURES, *INTERVAL_ENDS, *NUMBERS], _NUMBER),
    **dict.fromkeys(COUNTS, (int,)),
    **dict.fromkeys(REASONS, (str,)),
}

TEST_SCORES = pa.schema(
    [
        ("path", pa.large_string()),
        ("sha256", pa.large_string()),
        ("label", pa.int64()),
        ("defect", pa.large_string()),
        ("score", pa.float64()),
        ("is_anomalous", pa.bool_()),
    ]
)
"""The columns of scores.parquet, one row per test image in the order of the manifest.

path, sha256, label, defect: of the image, as in the manifest.
score: image score, higher is more anomalous.
is_anomalous: whether the score reaches the calibrated threshold.
"""

HISTORY: Mapping[str, str] = {
    "step": "training steps done, from 1",
    "loss_*": "mean of a part of the loss since the last validation; none where nothing is trained by steps",
    "val_image_auroc": "image AUROC on the validation set",
    "val_pixel_ap": "average precision of pixels on its synthetic anomalies",
    "val_pixel_pro": "per-region overlap on them",
}
"""The keys of a line of history.jsonl: one JSON object of numbers per validation. Only `step` is always there."""
_HISTORY_KEY = re.compile("|".join(name.replace("*", "[a-z0-9_]+") for name in HISTORY))


class Form(BaseModel, frozen=True, extra="forbid", strict=True):
    """What stands in a JSON file: no unknown keys, no silent casts."""


class ModelCost(Form):
    """benchmark.json: what a prediction costs on any machine."""

    parameters: dict[str, int] = Field(description="number of weights of each part of the model")
    model_mib: float = Field(description="size of model.safetensors in MiB")
    image_size: tuple[int, int] = Field(description="height and width of the model's input in pixels")
    gmac_per_image: dict[str, float] = Field(description="multiply-adds of one image in 10^9, by way to reconstruct")


class Machine(Form):
    """What the times of latency.json were measured on."""

    processor: str
    cpu_capability: str = Field(description="widest instructions that torch uses")
    cores: int
    load_1min: float = Field(description="load of the machine in the minute before")
    torch: str = Field(description="its version")


class MachineSpeed(Form):
    """What the machine can do at most."""

    threads: int
    gemm_gflops: float = Field(description="matrix product in fp32, 10^9 floating-point operations per second")
    copy_gib_per_s: float = Field(description="bytes read and written by a copy in memory")


class PeakMemory(Form):
    """What a process that predicts holds in memory."""

    peak_memory_mib: float
    batch: int = Field(description="images per call")
    model_mib: float = Field(description="size of the model's files in MiB")


class Timing(Form):
    """The time of one call."""

    ms_p50: float = Field(description="median in milliseconds")
    ms_p95: float
    ms_p99: float
    ms_min: float
    spread: float = Field(description="interquartile range over median")
    images_per_s: float = Field(description="at the median")
    threads: int
    batch: int = Field(description="images per call")
    share_of_peak: float = Field(description="speed of all multiply-adds over that of a matrix product")


class MeasuredTimes(Form):
    """latency.json: what a prediction takes on one machine, on one day."""

    machine: Machine
    calibration: list[MachineSpeed] = Field(description="one per number of threads")
    memory: dict[str, PeakMemory] = Field(description="by runtime and precision; empty where it was not measured")
    predict: dict[str, dict[str, dict[str, Timing]]] = Field(
        description="by way to reconstruct, by runtime and precision, by batch and threads"
    )


def part_key(part: str, figure: str) -> str:
    """Name a figure of a part of an ensemble.

    Args:
        part: `member_m` or `without_m`, for a member m.
        figure: Name of the figure of the whole.

    Example:
        >>> part_key("member_m", "synthetic_pixel_pro")
        'synthetic_member_m_pixel_pro'
    """
    prefix = _SYNTHETIC if figure.startswith(_SYNTHETIC) else ""
    return f"{prefix}{part}_{figure.removeprefix(_SYNTHETIC)}"


def write_metrics(path: Path, figures: Mapping[str, float | int | str | None]) -> None:
    """Write metrics.json; keys keep their order.

    Args:
        path: The file.
        figures: All figures of a category by name.

    Raises:
        ValueError: If a name is unknown, a value is of the wrong kind, NaN or infinite.
    """
    if wrong := _wrong_figure(figures):
        raise ValueError(f"{path}: not written: {wrong}")
    write_json(path, figures)


def read_metrics(path: Path) -> Metrics:
    """Read metrics.json.

    Raises:
        ValueError: If there is no such file, or it is of another form.
    """
    content = read_json(path)
    if wrong := _wrong_figure(content):
        raise ValueError(f"{path}: not the figures of a category: {wrong}; {AGAIN}")
    return Metrics(content)


def write_test_scores(path: Path, table: pd.DataFrame) -> None:
    """Write scores.parquet.

    Args:
        path: The file.
        table: The columns of `TEST_SCORES`, in this order; one row per test image.

    Raises:
        ValueError: If a column is missing, unknown or of another type.
    """
    if list(table.columns) != TEST_SCORES.names:
        raise ValueError(f"{path}: not written: expected the columns {TEST_SCORES.names}, got {list(table.columns)}")
    try:
        content = pa.Table.from_pandas(table, schema=TEST_SCORES, preserve_index=False)
    except pa.ArrowException as error:
        raise ValueError(f"{path}: not written: {error}") from None
    with atomic_file(path) as draft:
        pq.write_table(content, draft)


def read_test_scores(path: Path) -> pd.DataFrame:
    """Read scores.parquet.

    Raises:
        ValueError: If there is no such file, or it has not the columns of `TEST_SCORES`.
    """
    try:
        table = pq.read_table(path)
    except FileNotFoundError:
        raise ValueError(f"{path}: not found; run `dvc repro` first") from None
    except pa.ArrowInvalid as error:
        raise ValueError(f"{path}: not a table of scores: {' '.join(str(error).split())}; {AGAIN}") from None
    if not table.schema.equals(TEST_SCORES):
        expected, found = (
            ", ".join(f"{field.name} {field.type}" for field in one) for one in (TEST_SCORES, table.schema)
        )
        raise ValueError(f"{path}: not a table of scores: expected the columns {expected}, got {found}; {AGAIN}")
    frame: pd.DataFrame = table.to_pandas()
    return frame


def write_history(path: Path, records: Sequence[Mapping[str, float]]) -> None:
    """Write history.jsonl, atomically.

    Args:
        path: The file.
        records: One per validation, in the order of their steps.

    Raises:
        ValueError: If a key is not one of `HISTORY`, or a value is no number.
    """
    if wrong := next(filter(None, map(_wrong_record, records)), None):
        raise ValueError(f"{path}: not written: {wrong}")
    with atomic_file(path) as draft:
        draft.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")


def read_history(path: Path) -> list[dict[str, float]]:
    """Read history.jsonl: one record per validation, each with its `step`; [] if there is no file.

    A last line that is still being written is left out.

    Raises:
        ValueError: If the file is of another form.
    """
    if not path.is_file():
        return []
    records: list[dict[str, float]] = []
    lines = path.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines, start=1):
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            if number == len(lines):
                break
            raise ValueError(f"{path}: line {number} is not JSON: {error}; {AGAIN}") from None
        if wrong := _wrong_record(record):
            raise ValueError(f"{path}: line {number} is no record of a training: {wrong}; {AGAIN}")
        records.append(record)
    return records


def write_document(path: Path, document: BaseModel) -> None:
    """Write a JSON file of the form of its class."""
    write_json(path, document.model_dump(mode="json"))


def read_document(path: Path, form: type[D], command: str = "dvc repro") -> D:
    """Read a JSON file.

    Args:
        path: The file.
        form: The class of what stands in it.
        command: What makes the file again.

    Raises:
        ValueError: If there is no such file, or it is of another form.
    """
    try:
        return form.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise ValueError(f"{path}: not found; run `{command}` first") from None
    except ValidationError as error:
        first = error.errors()[0]
        place = f"`{'.'.join(map(str, first['loc']))}`: " if first["loc"] else ""
        wrong = f"{path}: not a {form.__name__}: {place}{first['msg']}"
        raise ValueError(f"{wrong}; run `{command}` to make it again") from None


def _wrong_figure(content: object) -> str | None:
    """Say what keeps a JSON value from being the content of metrics.json; None if nothing does."""
    if not isinstance(content, Mapping):
        return f"expected an object of figures by name, got {type(content).__name__}"
    kinds = dict(_KINDS)
    for member in _members(content):
        keys = (f"member_{member}_weight", *_part_keys(f"member_{member}"), *_part_keys(f"without_{member}"))
        kinds |= dict.fromkeys(keys, _NUMBER)
    for name, value in content.items():
        if name not in kinds:
            return f"unknown key `{name}`"
        if isinstance(value, bool) or not isinstance(value, kinds[name]):
            expected = "a sentence" if name in REASONS else "a count" if name in COUNTS else "a number or null"
            return f"`{name}`: expected {expected}, got {value!r}"
    return None


def _members(content: Mapping[str, object]) -> list[str]:
    """Names of the members of an ensemble, which are those with a weight."""
    return [found[1] for name in content if (found := _WEIGHT.fullmatch(name))]


def _part_keys(part: str) -> dict[str, str]:
    """Names of all figures that a part can have, and what the same figure of the whole is called."""
    return {part_key(part, figure): figure for figure in _ALL_PART_FIGURES}


def _wrong_record(record: object) -> str | None:
    """Say what keeps a JSON value from being a line of history.jsonl; None if nothing does."""
    if not isinstance(record, Mapping) or "step" not in record:
        return f"expected an object with a `step`, got {record!r}"
    for name, value in record.items():
        if not _HISTORY_KEY.fullmatch(name):
            return f"unknown key `{name}`"
        if isinstance(value, bool) or not isinstance(value, int | float):
            return f"`{name}`: expected a number, got {value!r}"
    return None
