"""Time the trained model in each of its ways to reconstruct on this machine."""

import logging
import os
import platform
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from pydantic import Field
from torch.utils.flop_counter import FlopCounterMode

from diffusionad.data.manifest import read_manifest
from diffusionad.detector import Detector
from diffusionad.metrics.latency import measure
from diffusionad.section import Section
from stages import command
from stages.files import write_json
from stages.params import read_section
from stages.paths import CategoryPaths

LOG = logging.getLogger(__name__)

LONG = ("ddim", "iterative")


class BenchmarkConfig(Section):
    """Section `benchmark` of params.yaml."""

    batch_sizes: tuple[int, ...] = Field(min_length=1, description="images in a call")
    rounds: int = Field(ge=1, description="timed calls of each kind, taken in turn")
    warmup: int = Field(ge=0, description="calls of each kind before, not timed")
    long_rounds: int = Field(
        ge=0, description="the same for `iterative` and `ddim`, many passes each, at the smallest batch; 0: left out"
    )


def benchmark(config: BenchmarkConfig, *, paths: CategoryPaths) -> None:
    """Read the model and test images; write what a prediction costs.

    `paths.benchmark` holds what follows from the model alone: parameters, bytes and multiply-adds of each paradigm, so
    two machines write the same. `paths.latency` holds what was measured; DVC does not track it, because a cache must
    never hand out the times of another machine or another day.

    Raises:
        ValueError: If there is no test image.
    """
    detector = Detector.load(paths.model)
    rows = read_manifest(paths.manifest).query("split == 'test'")
    if rows.empty:
        raise ValueError(f"{paths.manifest}: no image in split `test`; there is nothing to time")
    names = [rows["path"].iloc[i % len(rows)] for i in range(max(config.batch_sizes))]
    images = detector.read([paths.images / name for name in names])
    write_json(
        paths.benchmark,
        {
            "parameters": detector.parameters,
            "model_mib": round((paths.model / "model.safetensors").stat().st_size / 2**20, 3),
            "image_size": list(detector.config.image_size),
            "gmac_per_image": _gmac(detector, images[:1]),
        },
    )
    write_json(paths.latency, {"machine": _machine(), "predict": _times(config, detector, images)})


def _times(config: BenchmarkConfig, detector: Detector, images: torch.Tensor) -> dict[str, dict[str, Any]]:
    paradigms = detector.paradigms
    times: dict[str, dict[str, Any]] = {paradigm: {} for paradigm in paradigms}
    for batch_size in config.batch_sizes:
        short = _calls(detector, images[:batch_size], [name for name in paradigms if name not in LONG])
        measured = measure(short, config.rounds, config.warmup)
        long = _calls(detector, images[:batch_size], [name for name in paradigms if name in LONG])
        if long and config.long_rounds and batch_size == min(config.batch_sizes):
            measured |= measure(long, config.long_rounds, 0)
        for name, latency in measured.items():
            figures = {key: round(value, 3) for key, value in latency._asdict().items()}
            images_per_s = round(1000 * batch_size / latency.ms_p50, 2)
            times[name][f"batch_{batch_size}"] = figures | {"images_per_s": images_per_s}
            LOG.info("%-12s batch %2d: %8.1f ms, %7.2f images/s", name, batch_size, latency.ms_p50, images_per_s)
    return times


def _calls(detector: Detector, batch: torch.Tensor, names: list[str]) -> dict[str, Callable[[], object]]:
    paradigms = detector.paradigms
    return {name: partial(detector.predict, batch, paradigm=paradigms[name], batch_size=len(batch)) for name in names}


def _gmac(detector: Detector, image: torch.Tensor) -> dict[str, float]:
    """Multiply-adds of one image in 10^9. Counted where it is quick; a long walk is so many passes more of one net."""
    counted = {name: _count_gmac(detector, image, name) for name in detector.paradigms if name not in LONG}
    if "one_step" in counted:
        a_pass = counted["norm_guided"] - counted["one_step"]
        for name in LONG:
            counted[name] = counted["one_step"] + (detector.denoiser_passes(name) - 1) * a_pass
    return {name: round(gmac, 4) for name, gmac in counted.items()}


def _count_gmac(detector: Detector, image: torch.Tensor, name: str) -> float:
    with FlopCounterMode(display=False) as counter:
        detector.predict(image, paradigm=detector.paradigms[name])
    return float(counter.get_total_flops()) / 2e9


def _machine() -> dict[str, str | int]:
    return {
        "processor": platform.processor() or platform.machine(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "cores": os.cpu_count() or 1,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


def _stage(_key: str, paths: CategoryPaths) -> None:
    benchmark(read_section(BenchmarkConfig, "benchmark"), paths=paths)


def main() -> None:
    command.run(_stage)


if __name__ == "__main__":
    main()
