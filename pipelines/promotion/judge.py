"""Start `pipelines.promotion.judge_worker` in a process of its own, which loads torch and the code of the artifacts."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.catalogue import Entry
from pipelines.promotion.settings import ScoringConfig
from stages.files import read_json


def score_apart(
    entry: Entry, folders: Mapping[str, Path], scoring: ScoringConfig, place: Path, pictures: Path | None
) -> dict[str, Any]:
    """Call `judge_worker.score` in a process of its own.

    Args:
        entry: The category.
        folders: Folders of the artifacts by role: `candidate` and, if there is one, `champion`.
        scoring: Part `scoring` of section `promotion`.
        place: Folder for the request and the answer.
        pictures: Folder for the pictures of the comparison; None to draw none.

    Returns:
        The same as `judge_worker.score`.

    Raises:
        ValueError: If scoring fails or takes too long.
    """
    request, answer = place / "request.json", place / "answer.json"
    content = {
        "dataset": entry.paths.dataset,
        "category": entry.paths.category,
        "folders": {role: str(folder) for role, folder in folders.items()},
        "scoring": scoring.model_dump(),
        "pictures": pictures and str(pictures),
    }
    request.write_text(json.dumps(content), encoding="utf-8")
    command = [sys.executable, "-m", "pipelines.promotion.judge_worker", str(request), str(answer)]
    try:
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True, timeout=scoring.timeout_s, check=False)
    except subprocess.TimeoutExpired:
        raise ValueError(
            f"{entry.model_name}: scoring took longer than {scoring.timeout_s:g} s and was stopped"
        ) from None
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise ValueError(f"{entry.model_name}: cannot be scored: {last}")
    return read_json(answer)
