"""The saved state of a training, kept outside the outs of DVC, which are deleted before a stage runs."""

import hashlib
import logging
import sys
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import torch
from torch import Tensor

from diffusionad.section import Section
from diffusionad.training.trainer import Batch
from stages.files import atomic_file, file_digest
from stages.paths import CategoryPaths
from stages.train.selection import HistoryRecord

LOG = logging.getLogger(__name__)


class Best(TypedDict):
    """The best model so far, with its line of the history."""

    record: HistoryRecord
    weights: dict[str, Tensor]


class Progress(TypedDict):
    """How far a training has come."""

    phase: int
    """Index of the current phase among those of the model."""
    trainer: dict[str, Any]
    """Result of `Trainer.state_dict` in that phase."""
    records: list[HistoryRecord]
    best: Best | None


class TrainingState:
    """The saved state of one training, used again only by a training with the same inputs, settings and code."""

    def __init__(self, folder: Path, fingerprint: str) -> None:
        self.file = folder / f"{fingerprint}.pt"

    def load(self) -> Progress | None:
        """Read the saved state, if there is one."""
        if not self.file.exists():
            return None
        progress: Progress = torch.load(self.file, weights_only=True)
        LOG.info("resuming at step %d", progress["trainer"]["step"])
        return progress

    def save(self, progress: Progress) -> None:
        """Replace the saved state."""
        with atomic_file(self.file) as draft:
            torch.save(dict(progress), draft)

    def keep_batch(self, batch: Batch) -> Path:
        """Keep a batch at which the training failed, for inspection: arrays `images`, `mask` and `is_normal`."""
        file = self.file.with_name("refused_batch.npz")
        with atomic_file(file) as draft, draft.open("wb") as stream:
            np.savez(stream, **{name: value.numpy() for name, value in batch._asdict().items()})
        return file

    def clear(self) -> None:
        """Delete the saved states of this training and of abandoned ones with other fingerprints."""
        for file in (*self.file.parent.glob("*.pt"), self.file.with_name("refused_batch.npz")):
            file.unlink(missing_ok=True)


def fingerprint(sections: tuple[Section, ...], size: tuple[int, int], paths: CategoryPaths, processes: int) -> str:
    """Digest everything that decides the weights: files, settings, code, versions, numbers of processes and threads."""
    digest = hashlib.sha256(repr(size).encode())
    for section in sections:
        digest.update(section.model_dump_json().encode())
    root = Path(__file__).parents[2]
    code = [*root.joinpath("diffusionad").rglob("*.py"), *root.joinpath("stages").rglob("*.py")]
    assert code  # noqa: S101  # a moved file would find none, and old states would be resumed under new code
    inputs = [paths.manifest, *paths.synthetic.iterdir(), *paths.foreground.rglob("*.png")]
    for file in (*sorted(code), *sorted(inputs)):
        digest.update(file_digest(file).encode())
    digest.update(f"{torch.__version__} {processes} {torch.get_num_threads()} {sys.version}".encode())
    return digest.hexdigest()[:32]
