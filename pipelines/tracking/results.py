"""Read what the stages left for one category: the source of every run and version."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ruamel.yaml import YAML

from pipelines.catalogue import Entry
from pipelines.digests import file_digest, folder_digest, text_digest
from pipelines.tracking.lineage import DVC_LOCK
from stages.common.schemas import read_metrics
from stages.files import read_json
from stages.params import PARAMS, settings_files

DETECTOR = "detector"
STAGES = ("download", "foreground", "synthesize", "train", "evaluate", "benchmark")


class CategoryResult(NamedTuple):
    """One training and its evaluation."""

    entry: Entry
    model_digest: str
    """SHA-256 of the folder of the model."""
    metrics: Mapping[str, float | None]
    """Figures of metrics.json; None where one cannot be computed."""
    reasons: Mapping[str, str]
    """Why figures are missing."""
    key: str
    """Digest of category, model and figures: equal keys mean the same result."""
    config: Mapping[str, Any]
    """Content of model.json, which describes the detector."""


def read_result(entry: Entry) -> CategoryResult:
    """Read the model and its figures.

    Raises:
        ValueError: If one of them is missing, not JSON or of another form.
    """
    paths = entry.paths
    config, metrics = read_json(paths.model / "model.json"), read_metrics(paths.metrics)
    model_digest = folder_digest(paths.model)
    return CategoryResult(
        entry=entry,
        model_digest=model_digest,
        metrics=metrics.numbers,
        reasons=metrics.reasons,
        key=text_digest(f"{paths} {model_digest} {file_digest(paths.metrics)}")[:32],
        config=config,
    )


def read_stage_settings(entry: Entry) -> dict[str, str]:
    """Return the settings that the stages of a category ran with, by dotted name.

    They come from dvc.lock, because the files may have been edited since; from the files if dvc.lock has none. Those of
    the detector are below `detector`.
    """
    settings: dict[str, Any] = _plain(PARAMS)
    for file in settings_files(entry.key)[1:]:
        settings[DETECTOR] = _plain(file)
    stages = _plain(DVC_LOCK).get("stages", {})
    locked: dict[str, Any] = {}
    for stage in STAGES:
        for file, content in stages.get(f"{stage}@{entry.key}", {}).get("params", {}).items():
            locked |= content if file == str(PARAMS) else {DETECTOR: content}
    others = ("categories", "datasets", "ablation", "promotion", "orchestration")
    return flatten(locked or {name: value for name, value in settings.items() if name not in others})


def flatten(content: Any, prefix: str = "") -> dict[str, str]:  # noqa: ANN401  # YAML and JSON hold anything
    """Turn nested mappings into one, with dotted names and values as text."""
    if not isinstance(content, dict):
        return {prefix: str(content)}
    flat: dict[str, str] = {}
    for key, value in content.items():
        flat |= flatten(value, f"{prefix}.{key}" if prefix else str(key))
    return flat


def _plain(path: Path) -> dict[str, Any]:
    return (YAML(typ="safe").load(path) or {}) if path.is_file() else {}
