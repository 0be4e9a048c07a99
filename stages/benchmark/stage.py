"""Time the trained model in each mode and runtime on this machine."""

import logging
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

import torch
from pydantic import Field
from torch.utils.flop_counter import FlopCounterMode

from diffusionad.data.manifest import read_manifest
from diffusionad.deployment.export import write_export
from diffusionad.detector import Detector
from diffusionad.runtime.engines import MODULES, Variant, require
from diffusionad.runtime.record import machine
from diffusionad.section import Section
from stages import command
from stages.benchmark.peak_memory import peak_mib
from stages.benchmark.report import draw_rates, write_table
from stages.benchmark.timing import MANY_PASSES, Effort, Subject, time_all
from stages.common.schemas import MeasuredTimes, ModelCost, write_document
from stages.params import read_section
from stages.paths import CategoryPaths

LOG = logging.getLogger(__name__)


class BenchmarkConfig(Section):
    """Section `benchmark` of params.yaml."""

    batch_sizes: tuple[int, ...] = Field(min_length=1, description="images per call")
    stage: Effort = Field(description="effort of the DVC stage, which is to be short")
    bench: Effort = Field(description="effort of `make bench`")


def benchmark(config: BenchmarkConfig, *, paths: CategoryPaths) -> None:
    """Read the model and test images; write what a prediction costs.

    `paths.benchmark` holds what follows from the model alone, and is the same on every machine: parameters, size and
    multiply-adds of each mode. `paths.latency` and the table and figure beside it hold measured times; DVC does not
    track them, because a cache must never return the times of another machine or another day.

    ONNX Runtime and OpenVINO are timed in fp32 where they are installed; `make bench` adds the other precisions.

    Raises:
        ValueError: If there is no test image.
    """
    detector = Detector.load(paths.model)
    images = read_test_images(detector, max(config.batch_sizes), paths)
    gmac = count_gmac(detector, images[:1])
    cost = ModelCost(
        parameters=detector.parameters,
        model_mib=round((paths.model / "model.safetensors").stat().st_size / 2**20, 3),
        image_size=detector.config.image_size,
        gmac_per_image={name: round(value, 4) for name, value in gmac.items()},
    )
    write_document(paths.benchmark, cost)
    with tempfile.TemporaryDirectory() as place:
        subjects = [Subject(Variant("torch", "fp32"), None), *_exports(detector, Path(place))]
        write_times(config.batch_sizes, config.stage, detector, subjects, images, gmac, paths)


def write_times(
    batch_sizes: tuple[int, ...],
    effort: Effort,
    detector: Detector,
    subjects: list[Subject],
    images: torch.Tensor,
    gmac: Mapping[str, float],
    paths: CategoryPaths,
) -> None:
    """Measure the times and write `paths.latency` with the table and figure beside it; arguments as in `time_all`."""
    speeds, rows = time_all(effort, batch_sizes, detector, subjects, images, gmac)
    memory = {}
    if effort.memory:
        memory = {str(subject.variant): _memory(subject, max(batch_sizes), paths) for subject in subjects}
    write_table(rows, paths.latency_table)
    draw_rates(rows, paths.latency_figure)
    nested: dict[str, dict[str, dict[str, object]]] = {}
    for row in rows:
        place = nested.setdefault(row["mode"], {}).setdefault(f"{row['runtime']}-{row['precision']}", {})
        figures = {key: value for key, value in row.items() if key not in ("mode", "runtime", "precision")}
        place[f"batch_{row['batch']}_threads_{row['threads']}"] = figures
        LOG.info(
            "%-12s %-13s batch %2d, %d threads: %8.1f ms, %7.2f images/s",
            *(row["mode"], f"{row['runtime']}-{row['precision']}", row["batch"], row["threads"]),
            *(row["ms_p50"], row["images_per_s"]),
        )
    content = {"machine": _machine(), "calibration": [one._asdict() for one in speeds]}
    times = MeasuredTimes.model_validate(content | {"memory": memory, "predict": nested})
    write_document(paths.latency, times)


def read_test_images(detector: Detector, count: int, paths: CategoryPaths) -> torch.Tensor:
    """Read `count` test images, (count, 3, H, W); start again from the first where there are fewer.

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
            form = detector.form()
            (folder / str(variant)).mkdir()
            write_export(form, variant, (), folder / str(variant))
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


def count_gmac(detector: Detector, image: torch.Tensor) -> dict[str, float]:
    """Count the multiply-adds for one image, shape (1, 3, H, W), in 10^9, by mode.

    Modes of few passes are counted. The cost of one pass follows from two of them, and that of a long mode from its
    number of passes beyond the shortest. Without two short modes of different passes, the long ones are counted too.
    """
    passes = {name: mode.passes for name, mode in detector.modes.items()}
    short = [name for name, count in passes.items() if count <= MANY_PASSES]
    counted = {name: _count(detector, image, name) for name in short}
    shortest, longest = (pick(short, key=passes.__getitem__, default="") for pick in (min, max))
    for name in passes.keys() - set(short):
        if shortest and passes[longest] > passes[shortest]:
            a_pass = (counted[longest] - counted[shortest]) / (passes[longest] - passes[shortest])
            counted[name] = counted[shortest] + (passes[name] - passes[shortest]) * a_pass
        else:
            counted[name] = _count(detector, image, name)
    return {name: counted[name] for name in passes}


def _count(detector: Detector, image: torch.Tensor, mode: str) -> float:
    with FlopCounterMode(display=False) as counter:
        detector.predict(image, mode=mode)
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
