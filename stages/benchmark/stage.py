"""Time the trained model in each way to reconstruct and runtime on this machine."""

import logging
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

import torch
from pydantic import Field
from torch.utils.flop_counter import FlopCounterMode

from diffusionad.data.manifest import read_manifest
from diffusionad.detector import Detector
from diffusionad.model import ModelConfig, Paradigm
from diffusionad.runtime.engines import MODULES, Variant, require
from diffusionad.runtime.export import write_export
from diffusionad.runtime.record import machine
from diffusionad.section import Section
from stages import command
from stages.benchmark.peak_memory import peak_mib
from stages.benchmark.report import draw_rates, write_table
from stages.benchmark.timing import LONG, Effort, Subject, time_all
from stages.common.schemas import MeasuredTimes, ModelCost, write_document
from stages.params import read_section
from stages.paths import CategoryPaths

LOG = logging.getLogger(__name__)


class BenchmarkConfig(Section):
    """Section `benchmark` of params.yaml."""

    batch_sizes: tuple[int, ...] = Field(min_length=1, description="images in a call")
    stage: Effort = Field(description="of the DVC stage, which is to be short")
    bench: Effort = Field(description="of `make bench`")


def benchmark(config: BenchmarkConfig, *, paths: CategoryPaths) -> None:
    """Read the model and test images; write what a prediction costs.

    `paths.benchmark` holds what follows from the model alone: parameters, bytes and multiply-adds of each paradigm, so
    two machines write the same. `paths.latency` and the table and the figure beside it hold what was measured; DVC
    does not track them, because a cache must never hand out the times of another machine or another day.

    Of ONNX Runtime and OpenVINO those that are installed are timed, in fp32; `make bench` adds the other precisions.

    Raises:
        ValueError: If there is no test image.
    """
    detector = Detector.load(paths.model)
    detectors = for_paradigms(detector)
    images = read_test_images(detector, max(config.batch_sizes), paths)
    gmac = count_gmac(detectors, images[:1])
    cost = ModelCost(
        parameters=detector.parameters,
        model_mib=round((paths.model / "model.safetensors").stat().st_size / 2**20, 3),
        image_size=detector.config.image_size,
        gmac_per_image={name: round(value, 4) for name, value in gmac.items()},
    )
    write_document(paths.benchmark, cost)
    with tempfile.TemporaryDirectory() as place:
        subjects = [Subject(Variant("torch", "fp32"), None), *_exports(detector, Path(place))]
        write_times(config.batch_sizes, config.stage, detectors, subjects, images, gmac, paths)


def write_times(
    batch_sizes: tuple[int, ...],
    effort: Effort,
    detectors: Mapping[str, Detector],
    subjects: list[Subject],
    images: torch.Tensor,
    gmac: Mapping[str, float],
    paths: CategoryPaths,
) -> None:
    """Measure; write `paths.latency` and the table and figure beside it. Arguments as of time_all."""
    calibrations, rows = time_all(effort, batch_sizes, detectors, subjects, images, gmac)
    memory = {}
    if effort.memory:
        memory = {str(subject.variant): _memory(subject, max(batch_sizes), paths) for subject in subjects}
    write_table(rows, paths.latency_table)
    draw_rates(rows, paths.latency_figure)
    nested: dict[str, dict[str, dict[str, object]]] = {}
    for row in rows:
        place = nested.setdefault(row["paradigm"], {}).setdefault(f"{row['runtime']}-{row['precision']}", {})
        figures = {key: value for key, value in row.items() if key not in ("paradigm", "runtime", "precision")}
        place[f"batch_{row['batch']}_threads_{row['threads']}"] = figures
        LOG.info(
            "%-12s %-13s batch %2d, %d threads: %8.1f ms, %7.2f images/s",
            *(row["paradigm"], f"{row['runtime']}-{row['precision']}", row["batch"], row["threads"]),
            *(row["ms_p50"], row["images_per_s"]),
        )
    content = {"machine": _machine(), "calibration": [one._asdict() for one in calibrations]}
    times = MeasuredTimes.model_validate(content | {"memory": memory, "predict": nested})
    write_document(paths.latency, times)


def for_paradigms(detector: Detector) -> dict[str, Detector]:
    """A detector for each way to reconstruct, that of the model first.

    All diffusions share its networks. A network that it lacks has its first weights: its cost does not depend on them,
    only its answers would.
    """
    config = detector.config.model
    if not isinstance(config, ModelConfig):
        return dict.fromkeys(detector.paradigms, detector)
    found = {config.paradigm: detector} | dict.fromkeys(detector.paradigms, detector)
    others: tuple[Paradigm, ...] = ("norm_guided", "autoencoder")
    for other in others:
        if other not in found:
            changed = detector.config.model_copy(update={"model": config.model_copy(update={"paradigm": other})})
            with torch.random.fork_rng([]):
                torch.manual_seed(0)
                untrained = Detector(changed.build(), changed)
            found |= dict.fromkeys(untrained.paradigms, untrained)
    return dict(found)


def read_test_images(detector: Detector, count: int, paths: CategoryPaths) -> torch.Tensor:
    """Read `count` test images, again from the first where there are fewer.

    Raises:
        ValueError: If there is no test image.
    """
    rows = read_manifest(paths.manifest).query("split == 'test'")
    if rows.empty:
        raise ValueError(f"{paths.manifest}: no image in split `test`; there is nothing to time")
    return detector.read([paths.images / rows["path"].iloc[i % len(rows)] for i in range(count)])


def _exports(detector: Detector, folder: Path) -> list[Subject]:
    """Export the model in fp32 for each runtime that is installed."""
    subjects: list[Subject] = []
    for variant in (Variant("onnx", "fp32"), Variant("openvino", "fp32")):
        try:
            require(MODULES[variant.runtime], variant.runtime)
            pipeline = detector.pipeline()
            (folder / str(variant)).mkdir()
            write_export(pipeline, variant, (), folder / str(variant))
        except ValueError as error:
            LOG.info("%s is not timed: %s", variant, error)
            continue
        subjects.append(Subject(variant, folder / str(variant)))
    return subjects


def _memory(subject: Subject, batch: int, paths: CategoryPaths) -> dict[str, float]:
    return {
        "peak_memory_mib": peak_mib(paths.model, *subject, batch),
        "batch": batch,
        "model_mib": round(_size(subject, paths) / 2**20, 3),
    }


def _size(subject: Subject, paths: CategoryPaths) -> int:
    if subject.folder is None:
        return (paths.model / "model.safetensors").stat().st_size
    return sum(file.stat().st_size for file in subject.folder.iterdir() if file.name != "export.json")


def count_gmac(detectors: Mapping[str, Detector], image: torch.Tensor) -> dict[str, float]:
    """Multiply-adds of one image in 10^9. Counted where it is quick; a long walk is so many passes more of one net."""
    counted: dict[str, float] = {name: _count(one, image, name) for name, one in detectors.items() if name not in LONG}
    if "one_step" in counted:
        a_pass = counted["norm_guided"] - counted["one_step"]
        for name in LONG:
            counted[name] = counted["one_step"] + (detectors[name].denoiser_passes(name) - 1) * a_pass
    return counted


def _count(detector: Detector, image: torch.Tensor, name: str) -> float:
    with FlopCounterMode(display=False) as counter:
        detector.predict(image, paradigm=detector.paradigms[name])
    return float(counter.get_total_flops()) / 2e9


def _machine() -> dict[str, str | int | float]:
    return {
        "processor": machine(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "cores": os.cpu_count() or 1,
        "load_1min": round(os.getloadavg()[0], 2),
        "torch": torch.__version__,
    }


def _stage(_key: str, paths: CategoryPaths) -> None:
    benchmark(read_section(BenchmarkConfig, "benchmark"), paths=paths)


def main() -> None:
    command.run(_stage)


if __name__ == "__main__":
    main()
