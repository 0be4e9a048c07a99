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
from pipelines.repository.changes import list_folder
from pipelines.serving.packaging import load_served
from pipelines.serving.photographs import EARLIER, written_by_prediction
from stages.command import leave_at_once
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
    found, read = _open(source, timeout_s)
    is_own = _own(source, out)
    listing = {name: version for name, version in found.items() if not is_own(name)}
    if passed_over := len(found) - len(listing):
        _say(f"passed over: {passed_over} files, {EARLIER}")
    if not listing:
        raise ValueError(f"{source}: no files here{' but those that predictions wrote' if found else ''}")
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


def _open(source: str, timeout_s: float) -> tuple[dict[str, str], ReadImage]:
    path = local_path(source)
    if path is not None:
        listing = list_folder(path) if path.is_dir() else {}
        return {name: version for name, version in listing.items() if _is_visible(name)}, lambda n: read_bytes(path / n)
    if not source.startswith("s3://"):
        raise ValueError(f"{source}: expected a folder or s3://BUCKET/PREFIX")
    place, prefix = bucket.split_url(source.rstrip("/"))
    s3 = bucket.client(timeout_s)
    listing = {name: version for name, version in list_bucket(source, timeout_s).items() if _is_visible(name)}
    return listing, lambda name: bucket.read_object(s3, place, f"{prefix}/{name}")


def _own(source: str, out: Path) -> Callable[[str], bool]:
    """Return what tells whether a prediction or a scoring wrote a file of the source."""
    path = local_path(source)
    if path is None:
        return lambda _name: False
    is_written = written_by_prediction(out)
    return lambda name: is_written(path / name)


def _is_visible(name: str) -> bool:
    return not name.rsplit("/", 1)[-1].startswith(".")


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
