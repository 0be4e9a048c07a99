"""Pages of `stages.evaluate.report` as artifacts of a run."""

import shutil
import tempfile
from pathlib import Path

from mlflow import MlflowClient


def log_page(client: MlflowClient, run_id: str, page: Path, pictures: Path, place: str) -> None:
    """Log a page twice: on its own, for MLflow to show its figures, and whole, packed into `page.zip`.

    A page may have thousands of pictures, and a server takes files one by one.

    Args:
        client: Of the store.
        run_id: Of the run.
        page: The HTML; sheets that lie beside it as PNG are packed too.
        pictures: Its folder.
        place: Folder of the artifacts.
    """
    with tempfile.TemporaryDirectory() as draft:
        whole = Path(draft, "whole")
        shutil.copytree(pictures, whole / pictures.name)
        for file in (page, *page.parent.glob("*.png")):
            shutil.copy(file, whole / file.name)
        packed = shutil.make_archive(str(Path(draft, "page")), "zip", whole)
        client.log_artifact(run_id, str(page), place)
        client.log_artifact(run_id, packed, place)
