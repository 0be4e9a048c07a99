"""Read what the stages left for one category: the source of every run and version."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ruamel.yaml import YAML

from pipelines.catalogue import Entry
from pipelines.digests import file_digest, folder_digest, text_digest
from pipelines.tracking.lineage import DVC_LOCK
from stages.params import PARAMS

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
        ValueError: If one of them is missing or not JSON.
    """
    paths = entry.paths
    config, figures = read_json(paths.model / "model.json"), read_json(paths.metrics)
    model_digest = folder_digest(paths.model)
    return CategoryResult(
        entry=entry,
        model_digest=model_digest,
        metrics={name: value for name, value in figures.items() if not isinstance(value, str)},
        reasons={name: value for name, value in figures.items() if isinstance(value, str)},
        key=text_digest(f"{'/'.join(paths)} {model_digest} {file_digest(paths.metrics)}")[:32],
        config=config,
    )


def read_history(path: Path) -> list[dict[str, float]]:
    """Read history.jsonl: one record per validation, each with its `step`; [] if there is no file.

    A last line that is still being written is left out.
    """
    if not path.is_file():
        return []
    records = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return records


def read_stage_settings(entry: Entry) -> dict[str, str]:
    """Return the settings that the stages of a category ran with, by dotted name.

    They come from dvc.lock, because params.yaml may have been edited since; from params.yaml if dvc.lock has none.
    """
    settings = _plain(PARAMS)
    stages = _plain(DVC_LOCK).get("stages", {})
    locked: dict[str, Any] = {}
    for stage in STAGES:
        locked |= stages.get(f"{stage}@{entry.key}", {}).get("params", {}).get(str(PARAMS), {})
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


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file.

    Raises:
        ValueError: If it is missing or not JSON.
    """
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{path}: not found; run `dvc repro` first") from None
    except ValueError as error:
        raise ValueError(f"{path}: not JSON: {error}; run `dvc repro` to make it again") from None
    return content


def _plain(path: Path) -> dict[str, Any]:
    return (YAML(typ="safe").load(path) or {}) if path.is_file() else {}
