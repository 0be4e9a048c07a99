"""Run an ablation: trainings that rows share, then the rows, each kept in a file, so that nothing is done twice."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from diffusionad.data.manifest import manifest_digest
from diffusionad.foreground.methods import ForegroundConfig
from diffusionad.model import ModelConfig
from diffusionad.patchcore import PatchCoreConfig
from diffusionad.section import Section
from diffusionad.training.trainer import TrainingConfig
from pipelines.ablation.plan import OURS, AblationConfig, Row, plan
from stages.common.dataset import DatasetConfig
from stages.download.stage import CACHE, DownloadConfig, download
from stages.evaluate.stage import EvaluationConfig, evaluate
from stages.files import write_json
from stages.foreground.stage import foreground
from stages.params import ImageConfig, read_section
from stages.paths import CategoryPaths
from stages.synthesize.stage import SyntheticSetsConfig, synthesize
from stages.tools.controls import control
from stages.tools.variants import write_untrained, write_variant
from stages.train.fitted import memorise
from stages.train.selection import OperatingPointConfig
from stages.train.stage import DetectorChoice, train

SHARED = ("images", "manifest", "foreground", "synthetic")
"""What stages hand on that all rows read."""


class Settings(NamedTuple):
    """The sections of params.yaml that an ablation reads."""

    ablation: AblationConfig
    dataset: DatasetConfig
    download: DownloadConfig
    foreground: ForegroundConfig
    synthesis: SyntheticSetsConfig
    size: tuple[int, int]
    model: ModelConfig
    patchcore: PatchCoreConfig
    training: TrainingConfig
    operating_point: OperatingPointConfig
    evaluation: EvaluationConfig


class Result(NamedTuple):
    """One row with one seed."""

    row: Row
    seed: int
    figures: dict[str, Any]
    """metrics.json of the row."""


def read_settings(dataset: str, steps: int | None) -> Settings:
    """Read params.yaml; `steps`, where given, stands in place of its number of training steps.

    Raises:
        ValueError: As `read_section`.
    """
    training = read_section(TrainingConfig, "training")
    if steps is not None:
        every = min(training.validate_every, steps)
        training = training.model_copy(update={"steps": steps, "validate_every": every})
    return Settings(
        read_section(AblationConfig, "ablation"),
        read_section(DatasetConfig, f"datasets.{dataset}"),
        read_section(DownloadConfig, "download"),
        read_section(ForegroundConfig, "foreground"),
        read_section(SyntheticSetsConfig, "synthesis"),
        read_section(ImageConfig, "image").size,
        read_section(ModelConfig, "model"),
        read_section(DetectorChoice, "detector").patchcore,
        training,
        read_section(OperatingPointConfig, "operating_point"),
        read_section(EvaluationConfig, "evaluation"),
    )


class Ablation:
    """The scratch folder of one category and what is done there.

    Args:
        settings: Of everything.
        dataset: A key of section `datasets`.
        category: As the data set calls it.
        scratch: Holds data, trainings and rows; a run that was stopped goes on from it.
        say: Takes lines of progress.
    """

    def __init__(
        self, settings: Settings, dataset: str, category: str, scratch: Path, say: Callable[[str], None]
    ) -> None:
        self.settings, self.dataset, self.category = settings, dataset, category
        self.scratch, self.say = scratch, say

    def run(self) -> list[Result]:
        """Make what is missing; return every row with every seed.

        Raises:
            ValueError: As the stages.
            FloatingPointError: If a training diverges.
        """
        rows, seeds = plan(self.settings.ablation), self.settings.ablation.seeds
        for row in rows:
            if row.trained not in ("none", "patchcore"):
                self._model(row)  # before hours of training: a noise scale may lie beyond the last timestep
        self._prepare_data()
        results = []
        for number, (seed, row) in enumerate((seed, row) for seed in seeds for row in rows):
            head = f"[{number + 1}/{len(seeds) * len(rows)}] {row.label}, seed {seed}"
            results.append(Result(row, seed, self._figures(row, seed, head)))
        return results

    def _figures(self, row: Row, seed: int, head: str) -> dict[str, Any]:
        file = self.scratch / "rows" / f"{row.name}-seed{seed}.json"
        settings = self._digest(row, seed)
        if file.exists() and (stored := json.loads(file.read_text(encoding="utf-8")))["settings"] == settings:
            self.say(f"{head}: done before")
            return dict(stored["figures"])
        self.say(head)
        if row.trained == "none":
            size, config = self.settings.size, self.settings.evaluation.figures
            figures = dict(control(row.inferred, config, size, paths=self._data(size)))
        else:
            figures = self._evaluate(row, seed)
        write_json(file, {"settings": settings, "figures": figures})
        return figures

    def _evaluate(self, row: Row, seed: int) -> dict[str, Any]:
        trained = self._trained(_training(row), seed)
        paths = self._linked(self.scratch / "row", self._size(row.trained))
        if row.trained == "nothing":
            write_untrained(trained, paths.model)
        elif row.trained == "patchcore":
            shutil.copytree(trained, paths.model)
        else:
            write_variant(trained, paths.model, self._model(row))
        evaluate(self.settings.evaluation, paths=paths)
        figures: dict[str, Any] = json.loads(paths.metrics.read_text(encoding="utf-8"))
        shutil.rmtree(self.scratch / "row")
        return figures

    def _trained(self, how: str, seed: int) -> Path:
        """The folder of a trained model, made if it is missing or its settings have changed."""
        folder = self.scratch / "trained" / f"{how}-seed{seed}"
        done, settings = folder / "settings.json", self._training_digest(how, seed)
        made = CategoryPaths(self.dataset, self.category, folder).model
        if done.exists() and json.loads(done.read_text(encoding="utf-8")) == settings:
            return made
        self.say(f"  training {how}, seed {seed}")
        done.unlink(missing_ok=True)
        paths = self._linked(folder, self._size(how))
        operating_point = self.settings.operating_point
        if how == "patchcore":
            memorise(self._size(how), self.settings.patchcore, operating_point, seed, paths=paths)
        else:
            training = self.settings.training.model_copy(update={"seed": seed})
            model = self._model(Row("", how, how))
            state = self.scratch / "state" / folder.name  # a training that was killed goes on from it
            train(self.settings.size, model, training, operating_point, paths=paths, state=state)
        write_json(done, settings)
        return made

    def _model(self, row: Row) -> ModelConfig:
        model = self.settings.model
        changes: dict[str, Any] = {"paradigm": row.inferred}
        guidance = model.guidance
        if row.t_s is not None:
            guidance = guidance.model_copy(update={"t_s": row.t_s, "t_b": max(guidance.t_b, row.t_s + 1)})
        if row.scale is not None:
            guidance = guidance.model_copy(update={"scale": row.scale})
        if row.t_s_range is not None:
            guidance = guidance.model_copy(update={"t_s_range": row.t_s_range})
        if row.exponent is not None:
            local = guidance.local.model_copy(update={"exponent": row.exponent})
            guidance = guidance.model_copy(update={"local": local})
        settings = model.model_dump() | changes | {"guidance": guidance.model_dump()}
        return ModelConfig.model_validate(settings)

    def _size(self, trained: str) -> tuple[int, int]:
        rivals = self.settings.ablation.patchcore_size
        return rivals if trained == "patchcore" and rivals is not None else self.settings.size

    def _digest(self, row: Row, seed: int) -> str:
        """Digest of all settings that decide the figures of a row, and of the data."""
        sections: list[Section] = [self.settings.evaluation]
        if row.trained not in ("none", "patchcore"):
            sections.append(self._model(row))
        return _digest([row.name, self._training_digest(_training(row), seed)], sections)

    def _training_digest(self, how: str, seed: int) -> str:
        settings, size = self.settings, self._size(how)
        sections: list[Section] = [settings.synthesis, settings.foreground]
        if how == "patchcore":
            sections.append(settings.patchcore)
        elif how != "none":
            sections += [self._model(Row("", how, how)), settings.training]
        return _digest([how, repr(size), str(seed), manifest_digest(self._data(size).manifest)], sections)

    def _prepare_data(self) -> None:
        rivals = self.settings.ablation.patchcore_size
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
        for size in {self.settings.size, rivals or self.settings.size}:
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
        """A fresh folder for one stage, with links to the data that all share."""
        shutil.rmtree(root, ignore_errors=True)
        paths = CategoryPaths(self.dataset, self.category, root)
        _link(self._data(size), paths, SHARED)
        return paths


def _training(row: Row) -> str:
    """How the model behind a row is trained; random weights take the shape of one that is."""
    return OURS if row.trained == "nothing" else row.trained


def _digest(texts: list[str], sections: list[Section]) -> str:
    return hashlib.sha256("\n".join([*texts, *(part.model_dump_json() for part in sections)]).encode()).hexdigest()


def _link(source: CategoryPaths, target: CategoryPaths, names: tuple[str, ...]) -> None:
    for name in names:
        link: Path = getattr(target, name)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(getattr(source, name).absolute())
