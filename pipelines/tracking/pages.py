"""Log pages of `stages.evaluate.report` as artifacts of a run."""

import shutil
import tempfile
from pathlib import Path

from mlflow import MlflowClient


def log_page(client: MlflowClient, run_id: str, page: Path, pictures: Path, place: str) -> None:
    """Log a page twice: alone, so that MLflow shows its figures, and with all its pictures, packed into `page.zip`.

    A page may have thousands of pictures, and a server takes files one by one.

    Args:
        client: Client of the store.
        run_id: Id of the run.
        page: The HTML file; PNG files beside it are packed too.
        pictures: Folder of its pictures.
        place: Folder among the artifacts of the run.
    """
    with tempfile.TemporaryDirectory() as draft:
        whole = Path(draft, "whole")
        shutil.copytree(pictures, whole / pictures.name)
        for file in (page, *page.parent.glob("*.png")):
            shutil.copy(file, whole / file.name)
        packed = shutil.make_archive(str(Path(draft, "page")), "zip", whole)
        client.log_artifact(run_id, str(page), place)
        client.log_artifact(run_id, packed, place)
