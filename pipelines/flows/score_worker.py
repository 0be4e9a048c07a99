"""Score every image of a folder or a prefix once: `python -m pipelines.flows.score_worker REQUEST.json`.

Results are parts of a Parquet data set, `version=3/part-000000.parquet`, each written whole or not at all. An image is
identified by its path and its version (size and time, or ETag): one that is in a part already is not scored again, one
that has changed is.

Exit status: 0 done, 1 an error, 75 the store did not answer, which another attempt may mend.
"""

import json
import os
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.exceptions import MlflowException

from diffusionad.data.decode import read_bytes
from pipelines.serving.packaging import load_served
from pipelines.serving.photographs import EARLIER, written_by_prediction
from stages.command import leave_at_once
from stages.common.folders import LEFT_BEHIND, files_under, is_junk
from stages.download import bucket
from stages.download.transfer import Interrupted
from stages.download.watch.places import local_path
from stages.download.watch.versions import list_bucket
from stages.files import atomic_file, read_json

COLUMNS = ["path", "image_version", "score", "label", "threshold", "error", "scored_at"]
ReadImage = Callable[[str], bytes]


def score_source(served: Any, source: str, out: Path, *, batch: int, timeout_s: float) -> int:  # noqa: ANN401  # mlflow does not type it
    """Score the images that are not scored yet.

    Args:
        served: The model, as MLflow loads it.
        source: Folder or s3:// prefix.
        out: Folder for the parts of this version of the model.
        batch: Images per part.
        timeout_s: How long to wait for an answer of the store, s.

    Returns:
        The number of images scored now.

    Raises:
        ValueError: If the source cannot be read, or holds no files.
        Interrupted: If the store does not answer.
    """
    listing, passed_over, read = _open(source, out, timeout_s)
    for reason, count in passed_over.items():
        if count:
            _say(f"passed over: {count} files, {reason}")
    if not listing:
        raise ValueError(f"{source}: no files here{' but those passed over' if any(passed_over.values()) else ''}")
    todo = sorted(set(listing.items()) - _done(out))
    first = len(list(out.glob("part-*.parquet")))
    for number, start in enumerate(range(0, len(todo), batch), first):
        rows = list(_rows(served, todo[start : start + batch], read))
        with atomic_file(out / f"part-{number:06}.parquet") as draft:
            _table(rows).to_parquet(draft, index=False)
        _say(f"{start + len(rows)} of {len(todo)} images scored")
    return len(todo)


def read_scores(out: Path) -> pd.DataFrame:
    """Return all scores, oldest first; the columns are COLUMNS."""
    parts = [pd.read_parquet(part) for part in sorted(out.glob("part-*.parquet"))]
    return pd.concat(parts, ignore_index=True) if parts else _table([])


def _open(source: str, out: Path, timeout_s: float) -> tuple[dict[str, str], dict[str, int], ReadImage]:
    """List a source: versions of images by name, numbers of other files by reason, and how to read an image."""
    path = local_path(source)
    if path is not None:
        below, is_written = files_under(path), written_by_prediction(out)
        files = [file for file in below.files if not is_written(file)]
        listing = {file.relative_to(path).as_posix(): _version(file.stat()) for file in files}
        passed_over = {LEFT_BEHIND: len(below.junk), EARLIER: len(below.files) - len(files)}
        return listing, passed_over, lambda name: read_bytes(path / name)
    if not source.startswith("s3://"):
        raise ValueError(f"{source}: expected a folder or s3://BUCKET/PREFIX")
    place, prefix = bucket.split_url(source.rstrip("/"))
    s3 = bucket.client(timeout_s)
    found = list_bucket(source, timeout_s)
    listing = {name: version for name, version in found.items() if not is_junk(name)}
    return (
        listing,
        {LEFT_BEHIND: len(found) - len(listing)},
        lambda name: bucket.read_object(s3, place, f"{prefix}/{name}"),
    )


def _version(status: os.stat_result) -> str:
    return f"{status.st_size} {status.st_mtime_ns}"


def _done(out: Path) -> set[tuple[str, str]]:
    table = read_scores(out)
    return set(zip(table["path"], table["image_version"], strict=True))


def _rows(served: Any, images: list[tuple[str, str]], read: ReadImage) -> Iterator[dict[str, Any]]:  # noqa: ANN401
    at = datetime.now(UTC)
    for path, version in images:
        row = {"path": path, "image_version": version, "scored_at": at}
        try:
            answer = served.predict(pd.DataFrame({"image": [read(path)]})).iloc[0]
        except (MlflowException, ValueError) as error:
            yield row | {"error": " ".join(str(error).split()).replace("image 0", path)}
        else:
            yield row | answer[["score", "label", "threshold"]].to_dict()


def _table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    # The types are stated so that a part with nothing but errors fits the others.
    types = {"score": "float64", "label": "Int64", "threshold": "float64", "scored_at": "datetime64[us, UTC]"}
    return pd.DataFrame(rows, columns=COLUMNS).astype({name: types.get(name, "string") for name in COLUMNS})


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> None:
    """Read the request (model, source, out, batch, timeout_s) and score."""
    leave_at_once()
    request = read_json(Path(sys.argv[1]))
    try:
        served = load_served(Path(request["model"]))
        options = {"batch": request["batch"], "timeout_s": request["timeout_s"]}
        _say(json.dumps({"scored": score_source(served, request["source"], Path(request["out"]), **options)}))
    except Interrupted as error:
        _say(f"error: {request['source']}: {error}")
        sys.exit(os.EX_TEMPFAIL)
    except (ValueError, OSError, MlflowException) as error:
        _say(f"error: {' '.join(str(error).split())}")
        sys.exit(1)


if __name__ == "__main__":
    main()
