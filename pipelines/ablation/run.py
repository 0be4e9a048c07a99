"""Run an ablation: trainings, which rows share, then the rows. Each result is kept, so that nothing is done twice."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from diffusionad.base import ModelConfig
from diffusionad.data.manifest import manifest_digest
from diffusionad.detectors import load
from diffusionad.foreground.methods import ForegroundConfig
from diffusionad.section import Section
from diffusionad.training.trainer import TrainingConfig
from pipelines.ablation.plan import AblationConfig, Row, with_values
from stages.common.dataset import DatasetConfig
from stages.common.schemas import read_metrics
from stages.download.stage import DownloadConfig, download
from stages.download.watch.places import CACHE
from stages.evaluate.stage import EvaluationConfig, evaluate
from stages.files import write_json
from stages.foreground.stage import foreground
from stages.params import ImageConfig, read_section
from stages.paths import CategoryPaths
from stages.synthesize.stage import SyntheticSetsConfig, synthesize
from stages.tools.controls import control
from stages.tools.variants import write_untrained, write_variant
from stages.train.selection import OperatingPointConfig
from stages.train.settings import read_model_config
from stages.train.stage import train

SHARED = ("images", "manifest", "foreground", "synthetic")
"""Outputs of earlier stages that all rows read."""
CONTROL = "control"
"""Part of the table for the controls without a network."""


class Settings(NamedTuple):
    """The settings that an ablation reads."""

    ablation: AblationConfig
    dataset: DatasetConfig
    download: DownloadConfig
    foreground: ForegroundConfig
    synthesis: SyntheticSetsConfig
    size: tuple[int, int]
    detectors: Mapping[str, ModelConfig]
    """Settings of each kind that a row names."""
    training: TrainingConfig
    operating_point: OperatingPointConfig
    evaluation: EvaluationConfig


class RowResult(NamedTuple):
    """The figures of one row with one seed."""

    group: str
    """Part of the table."""
    name: str
    seed: int
    figures: dict[str, Any]
    """Content of metrics.json."""


def read_settings(dataset: str, steps: int | None) -> Settings:
    """Read params.yaml and the settings of detectors; `steps`, unless None, replaces the number of training steps.

    Raises:
        ValueError: Same as `read_section` and `read_model_config`.
    """
    training = read_section(TrainingConfig, "training")
    if steps is not None:
        every = min(training.validate_every, steps)
        training = training.model_copy(update={"steps": steps, "validate_every": every})
    ablation = read_section(AblationConfig, "ablation")
    return Settings(
        ablation,
        read_section(DatasetConfig, f"datasets.{dataset}"),
        read_section(DownloadConfig, "download"),
        read_section(ForegroundConfig, "foreground"),
        read_section(SyntheticSetsConfig, "synthesis"),
        read_section(ImageConfig, "image").size,
        {kind: read_model_config(kind) for kind in ablation.kinds},
        training,
        read_section(OperatingPointConfig, "operating_point"),
        read_section(EvaluationConfig, "evaluation"),
    )


class Ablation:
    """The ablation of one category in a scratch folder.

    Args:
        settings: Settings of all stages and rows.
        dataset: Key of section `datasets`.
        category: Name of the category in the data set.
        scratch: Folder for data, trainings and rows, from which a run that was stopped goes on.
        say: Function that prints a line of progress.
    """

    def __init__(
        self, settings: Settings, dataset: str, category: str, scratch: Path, say: Callable[[str], None]
    ) -> None:
        self.settings, self.dataset, self.category = settings, dataset, category
        self.scratch, self.say = scratch, say
        self._rows = {row.name: row for row in settings.ablation.rows}

    def run(self) -> list[RowResult]:
        """Compute the rows that are missing; return every row with every seed.

        Raises:
            ValueError: Same as the stages, or if the settings of a row are not valid for its kind.
            FloatingPointError: If a training diverges.
        """
        ablation = self.settings.ablation
        for row in ablation.rows:
            self._model(row)  # checked before hours of training: a noise scale may lie beyond the last timestep
        self._prepare_data()
        total = len(ablation.seeds) * (len(ablation.rows) + len(ablation.controls))
        results: list[RowResult] = []
        for seed in ablation.seeds:
            for row in ablation.rows:
                figures = self._figures(row, seed, f"[{len(results) + 1}/{total}] {row.name}, seed {seed}")
                results.append(RowResult(row.group, row.name, seed, figures))
            for name in ablation.controls:
                head = f"[{len(results) + 1}/{total}] {name}, seed {seed}"
                results.append(RowResult(CONTROL, name.replace("_", " "), seed, self._control(name, head)))
        return results

    def _figures(self, row: Row, seed: int, head: str) -> dict[str, Any]:
        trained = self._trained_row(row)
        settings = [row.name, str(row.untrained), self._training_digest(trained, seed)]
        digest = _digest(settings, [self.settings.evaluation, self._model(row)])
        return self._kept(f"{row.file_name}-seed{seed}", digest, head, lambda: self._evaluate(row, seed))

    def _control(self, name: str, head: str) -> dict[str, Any]:
        size, config = self.settings.size, self.settings.evaluation.figures
        settings = [name, repr(size), manifest_digest(self._data(size).manifest)]
        digest = _digest(settings, [self.settings.evaluation, self.settings.synthesis, self.settings.foreground])
        return self._kept(
            f"control-{name}", digest, head, lambda: dict(control(name, config, size, paths=self._data(size)))
        )

    def _kept(self, name: str, settings: str, head: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Return the figures of a row, computed if they are missing or the settings have changed."""
        file = self.scratch / "rows" / f"{name}.json"
        if file.exists() and (stored := json.loads(file.read_text(encoding="utf-8")))["settings"] == settings:
            self.say(f"{head}: done before")
            return dict(stored["figures"])
        self.say(head)
        figures = make()
        write_json(file, {"settings": settings, "figures": figures})
        return figures

    def _evaluate(self, row: Row, seed: int) -> dict[str, Any]:
        trained = self._trained_row(row)
        model = self._trained(trained, seed)
        paths = self._linked(self.scratch / "row", self._size(trained))
        if row.untrained:
            write_untrained(model, paths.model)
        else:
            write_variant(model, paths.model, self._model(row))
        evaluate(self.settings.evaluation, paths=paths)
        figures: dict[str, Any] = dict(read_metrics(paths.metrics).content)
        shutil.rmtree(self.scratch / "row")
        return figures

    def _trained(self, row: Row, seed: int) -> Path:
        """Return the folder of a trained model, trained if it is missing or its settings have changed."""
        folder = self.scratch / "trained" / f"{row.file_name}-seed{seed}"
        done, settings = folder / "settings.json", self._training_digest(row, seed)
        made = CategoryPaths(self.dataset, self.category, folder).model
        if done.exists() and json.loads(done.read_text(encoding="utf-8")) == settings:
            return made
        self.say(f"  training {row.name}, seed {seed}")
        done.unlink(missing_ok=True)
        size = self._size(row)
        paths = self._linked(folder, size)
        training = self.settings.training.model_copy(update={"seed": seed})
        state = self.scratch / "state" / folder.name  # a training that was killed goes on from it
        train(size, self._model(row), training, self.settings.operating_point, paths=paths, state=state)
        write_json(done, settings)
        return made

    def _trained_row(self, row: Row) -> Row:
        """Return the row whose training a row uses: itself, or the one that it names."""
        return row if row.weights_of is None else self._rows[row.weights_of]

    def _model(self, row: Row) -> ModelConfig:
        """Return the settings of a row: those of its kind, or of the row whose weights it uses, with its own values."""
        if row.detector is not None:
            base = self.settings.detectors[row.detector]
        else:
            base = self._model(self._trained_row(row))
        try:
            settings = with_values(base.model_dump(mode="json"), row.set)
            return load(base.kind).config.model_validate_json(json.dumps(settings))
        except ValueError as error:
            raise ValueError(f"params.yaml: ablation row `{row.name}`: {' '.join(str(error).split())}") from None

    def _size(self, row: Row) -> tuple[int, int]:
        return row.image_size or self.settings.size

    def _training_digest(self, row: Row, seed: int) -> str:
        """Digest the data and all settings that decide the weights of a trained row."""
        settings, size = self.settings, self._size(row)
        sections = [settings.synthesis, settings.foreground, self._model(row), settings.training]
        return _digest([repr(size), str(seed), manifest_digest(self._data(size).manifest)], sections)

    def _prepare_data(self) -> None:
        place = self.scratch / "data"
        raw = CategoryPaths(self.dataset, self.category, place)
        made_from = hashlib.sha256()
        for section in (self.settings.dataset, self.settings.download, self.settings.foreground):
            made_from.update(section.model_dump_json().encode())
        done = place / "settings.json"
        if not done.exists() or json.loads(done.read_text(encoding="utf-8")) != made_from.hexdigest():
            self.say(f"reading {self.dataset}/{self.category}")
            self._fetch(raw)
            write_json(done, made_from.hexdigest())
        for size in {self.settings.size, *map(self._size, self.settings.ablation.rows)}:
            self._synthesize(raw, size, made_from.hexdigest())

    def _fetch(self, raw: CategoryPaths) -> None:
        download(
            self.settings.dataset,
            self.settings.download,
            paths=raw,
            mirror=os.environ.get("DATA_MIRROR") or self.settings.download.mirror,
            cache=CACHE,
        )
        foreground(
            self.settings.foreground,
            self.settings.dataset.foreground,
            name=f"{self.dataset}/{self.category}",
            manifest=raw.manifest,
            images=raw.images,
            users_masks=None,
            masks=raw.foreground,
            sheet=raw.foreground_sheet,
            summary=raw.foreground_summary,
            validation=raw.foreground_validation,
            page=raw.foreground_page,
        )

    def _synthesize(self, raw: CategoryPaths, size: tuple[int, int], data: str) -> None:
        paths = self._data(size)
        settings = f"{data}{self.settings.synthesis.model_dump_json()}"
        done = self._data_folder(size) / "settings.json"
        if done.exists() and json.loads(done.read_text(encoding="utf-8")) == settings:
            return
        self.say(f"drawing synthetic anomalies at {size[0]} x {size[1]} px")
        _link(raw, paths, ("images", "manifest", "foreground"))
        synthesize(
            self.settings.synthesis,
            size,
            manifest=paths.manifest,
            images=paths.images,
            foreground=paths.foreground,
            synthetic=paths.synthetic,
            previews=paths.previews,
        )
        write_json(done, settings)

    def _data(self, size: tuple[int, int]) -> CategoryPaths:
        return CategoryPaths(self.dataset, self.category, self._data_folder(size))

    def _data_folder(self, size: tuple[int, int]) -> Path:
        return self.scratch / f"data-{size[0]}x{size[1]}"

    def _linked(self, root: Path, size: tuple[int, int]) -> CategoryPaths:
        """Make a fresh folder for one row, with links to the data that all rows share."""
        shutil.rmtree(root, ignore_errors=True)
        paths = CategoryPaths(self.dataset, self.category, root)
        _link(self._data(size), paths, SHARED)
        return paths


def _digest(texts: Sequence[str], sections: Sequence[Section]) -> str:
    return hashlib.sha256("\n".join([*texts, *(part.model_dump_json() for part in sections)]).encode()).hexdigest()


def _link(source: CategoryPaths, target: CategoryPaths, names: tuple[str, ...]) -> None:
    for name in names:
        link: Path = getattr(target, name)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(getattr(source, name).absolute())
