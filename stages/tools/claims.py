"""Measure the table of docs/performance.md again: `python -m stages.tools.claims KEY`, or `make claims`.

Most claims are ratios of calls that run in turns in one process, by processor time, so that a busy machine changes them
little. With one thread (OMP_NUM_THREADS=1) that is the time on a quiet machine. Each claim names what is measured and
against what. `CLAIMS=paper,starter` in the environment measures some of the parts only.
"""

import json
import logging
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from diffusionad.base import Form
from diffusionad.deployment.export import write_onnx
from diffusionad.deployment.latency import Latency
from diffusionad.deployment.latency import measure as measure_by
from diffusionad.deployment.parity import ExportConfig
from diffusionad.deployment.peak_speed import measure_peak_speed
from diffusionad.detector import Detector
from diffusionad.detectors.diffusionad.form import GuidedForm
from diffusionad.detectors.diffusionad.model import DiffusionAD, DiffusionADConfig
from diffusionad.metrics.ranking import pixel_metrics
from diffusionad.networks.layout import has_bf16, lay_out
from diffusionad.runtime.engines import Engine, Precision, Runtime, Variant, open_engine, torch_engine
from diffusionad.runtime.record import machine
from diffusionad.synthesis.blend import SynthesisConfig, draw_anomaly
from diffusionad.synthesis.textures import Textures
from diffusionad.training.trainer import Batch, Trainer, TrainingConfig
from stages import command
from stages.common.schemas import read_document
from stages.files import write_json
from stages.params import PARAMS, detector_file, read_section, read_settings
from stages.paths import CategoryPaths
from stages.tools import plain_implementations as plainly
from stages.tools.bench import export_all
from stages.tools.evaluation_memory import peak_of_maps
from stages.tools.settings import copy_settings, lay_over

LOG = logging.getLogger(__name__)

PAPER = Path("params", "paper.yaml")
SIDE = 256
MAPS = 100
MANY_MAPS = 10_000
ROUNDS = 9
LONG_ROUNDS = 3
PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16")
KEPT = "MALLOC_MMAP_THRESHOLD_"


class Claim(NamedTuple):
    """One line of the table."""

    what: str
    against: str
    unit: str
    value: float
    spread: float | None
    """Interquartile range over median of the times of the faster side; None where nothing was repeated."""


def measure(calls: Mapping[str, Callable[[], object]], rounds: int, warmup: int) -> dict[str, Latency]:
    """Time calls in turns, by the processor time of all threads, which other processes on the machine change little."""
    return measure_by(calls, rounds, warmup, time.process_time)


def paper(_paths: CategoryPaths) -> list[Claim]:
    """The paper's architecture with random weights: this package against the authors' formulation (times x faster)."""
    with tempfile.TemporaryDirectory() as place:
        model = _of_the_paper(Path(place)).eval()
        images, noise = _inputs(1, (SIDE, SIDE))
        calls: dict[str, Callable[[], object]] = {"authors": plainly.two_passes(model, images, noise)}
        form = _guided(model)
        engines: dict[str, Engine] = {"onnx-fp32": _opened(form, "onnx", Path(place))}
        engines["openvino-fp32"] = _opened(form, "openvino", Path(place))
        lay_out(model, images.device)
        engines["torch-fp32"] = torch_engine(_guided(model))
        if has_bf16():
            engines["torch-bf16"] = torch_engine(_guided(model), "bf16")
            engines["openvino-bf16"] = _opened(form, "openvino", Path(place), "bf16")
        calls |= {name: _bind(engine, images, noise) for name, engine in engines.items()}
        times = measure(calls, LONG_ROUNDS, 1)
    return [
        _ratio(
            f"paper's architecture, {name}", f"two passes, NCHW, {times['authors'].ms_p50 / 1000:.1f} s", times, name
        )
        for name in engines
    ]


def gpu(_paths: CategoryPaths) -> list[Claim]:
    """The paper's architecture on a GPU, by wall time: batches and training (images/s), many passes (ratios)."""
    if not torch.cuda.is_available():
        raise ValueError("CLAIMS: torch finds no GPU here, and part `gpu` needs one; leave it out")
    with tempfile.TemporaryDirectory() as place:
        model = _of_the_paper(Path(place)).cuda().eval()
        training = read_section(TrainingConfig, "training", _settings_of_the_paper(Path(place)))
    claims = []
    for batch in (1, training.batch_size):
        images, noise = _inputs(batch, (SIDE, SIDE))
        calls: dict[str, Callable[[], object]] = {"authors": plainly.two_passes(model, images.cuda(), noise.cuda())}
        for precision in PRECISIONS:
            calls[precision] = _bind(torch_engine(_guided(model), precision), images, noise)
        for name, took in _wall(calls, ROUNDS, 3).items():
            what = f"paper's architecture on a GPU, {name}, batch {batch}"
            claims.append(Claim(what, "", "images/s", batch / took.ms_p50 * 1000, took.spread))
    x_0, noise = _inputs(1, (SIDE, SIDE))[0].cuda(), torch.randn(1, 3, SIDE, SIDE, device="cuda")
    names = ("one_step", "norm_guided", "ddim", "iterative")
    walk = {name: plainly.reconstructing(model, x_0, noise, name) for name in names}
    times = _wall({name: walk[name] for name in names[:2]}, ROUNDS, 3)
    times |= _wall({name: walk[name] for name in names[2:]}, 1, 0)
    one = times.pop("one_step")
    for name, took in times.items():
        claims.append(Claim(f"one step on a GPU, against {name}", name, "x", took.ms_p50 / one.ms_p50, one.spread))
    return [*claims, *_training_on_gpu(model, training)]


def _training_on_gpu(model: DiffusionAD, training: TrainingConfig) -> list[Claim]:
    batch = _batch(training.batch_size)
    trainer = Trainer(model, model.phases[0], training)
    torch.cuda.reset_peak_memory_stats()
    step = _wall({"step": lambda: trainer.train_step(batch)}, ROUNDS, 3)["step"]
    peak = torch.cuda.max_memory_allocated() / 2**30
    return [
        Claim(
            "paper's architecture on a GPU, training",
            "",
            "images/s",
            training.batch_size / step.ms_p50 * 1000,
            step.spread,
        ),
        Claim("the same, peak memory", "", "GiB", peak, None),
    ]


def _wall(calls: Mapping[str, Callable[[], object]], rounds: int, warmup: int) -> dict[str, Latency]:
    """Time calls in turns, by wall time; each ends when the GPU has finished what it started."""

    def finished(call: Callable[[], object]) -> Callable[[], None]:
        def both() -> None:
            call()
            torch.cuda.synchronize()

        return both

    return measure_by({name: finished(call) for name, call in calls.items()}, rounds, warmup)


def starter(paths: CategoryPaths) -> list[Claim]:
    """The trained model in each runtime whose export passed, against plain torch (times x faster)."""
    detector = Detector.load(paths.model)
    images, noise = _inputs(1, detector.config.image_size)
    threads = torch.get_num_threads()
    calls: dict[str, Callable[[], object]] = {"authors": plainly.plain(plainly.rebuild(detector), images, noise)}
    engines = {"torch-fp32": torch_engine(detector.form())}
    for variant, folder in export_all(read_section(ExportConfig, "export"), paths):
        if folder is not None:
            engines[str(variant)] = open_engine(folder, variant, threads)
    calls |= {name: _bind(engine, images, noise) for name, engine in engines.items()}
    times = measure(calls, 3 * ROUNDS, 3)
    return [_ratio(f"starter model, {name}", "plain torch, fp32, NCHW", times, name) for name in engines]


def walks(paths: CategoryPaths) -> list[Claim]:
    """The reconstruction alone: one step against many steps and against norm guidance (ratios of times)."""
    detector = Detector.load(paths.model)
    names = ("one_step", "norm_guided", "ddim")
    times = measure({name: plainly.reconstruction(detector, name) for name in names}, ROUNDS, 2)
    times |= measure({"iterative": plainly.reconstruction(detector, "iterative")}, 1, 0)
    passes = {name: detector.modes[name].passes for name in ("ddim", "iterative")}
    one = times["one_step"].ms_p50
    rows = [
        Claim(
            f"one step, against {name} ({count} passes)", name, "x", times[name].ms_p50 / one, times["one_step"].spread
        )
        for name, count in passes.items()
    ]
    guided = times["norm_guided"]
    return [*rows, Claim("norm-guided, time against one step", "one_step", "x", guided.ms_p50 / one, guided.spread)]


def metrics(_paths: CategoryPaths) -> list[Claim]:
    """All exact pixel figures of 100 maps at 256 px, against scikit-learn and a PRO loop (times x faster)."""
    maps, masks = plainly.random_maps(MAPS, SIDE, seed=0)
    calls: dict[str, Callable[[], object]] = {
        "authors": lambda: plainly.slow_metrics(maps, masks),
        "ours": lambda: pixel_metrics(maps, masks, 0.3),
        "tally": lambda: plainly.tallied_metrics(maps, masks),
    }
    times = measure(calls, LONG_ROUNDS, 1)
    against = f"scikit-learn and a PRO loop, {times['authors'].ms_p50 / 1000:.1f} s"
    return [
        _ratio("AUROC, AP, PRO, F1 of 100 maps, by sorting", against, times, "ours"),
        _ratio("the same over float16, in bounded memory", against, times, "tally"),
    ]


def synthesis(paths: CategoryPaths) -> list[Claim]:
    """One synthetic anomaly at 256 px against a training step of the starter networks, both per image (ratio)."""
    config = read_document(paths.synthetic / "settings.json", SynthesisConfig)
    training = read_section(TrainingConfig, "training")
    settings = read_settings(DiffusionADConfig, detector_file("diffusionad"), {"kind": "diffusionad"})
    model = DiffusionAD(settings, (SIDE, SIDE))
    trainer = Trainer(model, model.phases[0], training)
    step = _batch(training.batch_size)
    textures, rng = Textures(config.textures, (SIDE, SIDE)), np.random.default_rng(0)
    normal, everywhere = step.images[0].permute(1, 2, 0).numpy(), np.ones((SIDE, SIDE), np.bool_)
    calls = {
        "step": lambda: trainer.train_step(step),
        "anomaly": lambda: [draw_anomaly(config, normal, everywhere, textures, rng) for _ in step.images],
    }
    times = measure(calls, LONG_ROUNDS, 1)
    share = times["anomaly"].ms_p50 / times["step"].ms_p50
    return [
        Claim("synthesis of an anomaly at 256 px", "its share of a training step", "x", share, times["step"].spread)
    ]


def memory(_paths: CategoryPaths) -> list[Claim]:
    """Peak memory (GiB) and time (s) of all pixel figures with intervals of 10,000 maps at 256 px."""
    start = time.perf_counter()
    peak = peak_of_maps(MANY_MAPS, SIDE)
    return [
        Claim("peak memory, figures of 10,000 maps at 256 px", "", "GiB", peak / 1024, None),
        Claim("the same, time", "", "s", time.perf_counter() - start, None),
    ]


PARTS: Mapping[str, Callable[[CategoryPaths], list[Claim]]] = {
    part.__name__: part for part in (starter, walks, metrics, synthesis, memory, paper, gpu)
}


def measure_claims(parts: list[str], *, paths: CategoryPaths) -> None:
    """Measure the parts, log their lines and store them in `paths.claims`, where other parts stay.

    Raises:
        ValueError: If there is no such part.
    """
    for name in parts:
        if name not in PARTS:
            raise ValueError(f"CLAIMS: no part `{name}`; expected some of {', '.join(PARTS)}")
    kept = json.loads(paths.claims.read_text(encoding="utf-8")) if paths.claims.is_file() else {}
    for name in parts:
        load, claims = os.getloadavg()[0], PARTS[name](paths)
        for claim in claims:
            LOG.info("| %s | %s | %.2f %s |", claim.what, claim.against, claim.value, claim.unit)
        malloc = "keeps large blocks" if os.environ.get(KEPT) else "default"
        conditions = {"machine": machine(), "cpu_capability": torch.backends.cpu.get_cpu_capability(), "malloc": malloc}
        speed = measure_peak_speed(torch.get_num_threads())._asdict()
        kept[f"{name}, malloc {malloc}"] = {
            **conditions,
            "load_1min": [round(load, 1), round(os.getloadavg()[0], 1)],
            "calibration": speed,
            "claims": [claim._asdict() for claim in claims],
        }
        write_json(paths.claims, kept)


def _inputs(batch: int, size: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(batch, 3, *size, generator=generator)
    return images, torch.randn(2, batch, 3, *size, generator=generator)


def _batch(count: int) -> Batch:
    """Draw a batch of `count` images for a training step, half of them normal."""
    images, _ = _inputs(count, (SIDE, SIDE))
    half = torch.arange(count) < count // 2
    return Batch(images, (images[:, :1] > 0.9).float(), half)  # noqa: PLR2004  # a tenth of the pixels


def _bind(engine: Engine, images: torch.Tensor, noise: torch.Tensor) -> Callable[[], object]:
    return lambda: engine(images, noise)


def _opened(form: Form, runtime: Runtime, place: Path, precision: Precision = "fp32") -> Engine:
    if not (place / "model.onnx").exists():
        write_onnx(form, place / "model.onnx")
    return open_engine(place, Variant(runtime, precision), torch.get_num_threads())


def _of_the_paper(place: Path) -> DiffusionAD:
    """The paper's architecture with random weights."""
    torch.manual_seed(0)
    settings = detector_file("diffusionad", _settings_of_the_paper(place))
    return DiffusionAD(read_settings(DiffusionADConfig, settings, {"kind": "diffusionad"}), (SIDE, SIDE))


def _guided(model: DiffusionAD) -> GuidedForm:
    return GuidedForm(model, (model.config.guidance.t_s, model.config.guidance.t_b))


def _settings_of_the_paper(place: Path) -> Path:
    params = place / PARAMS.name
    if not params.exists():
        copy_settings(PARAMS, place)
        lay_over(PAPER, params)
    return params


def _ratio(what: str, against: str, times: Mapping[str, Latency], name: str) -> Claim:
    return Claim(what, against, "x", times["authors"].ms_p50 / times[name].ms_p50, times[name].spread)


def _run(_key: str, paths: CategoryPaths) -> None:
    here = [name for name in PARTS if name != gpu.__name__ or torch.cuda.is_available()]
    chosen = os.environ.get("CLAIMS", ",".join(here))
    measure_claims(chosen.split(","), paths=paths)


def main() -> None:
    command.run(_run)


if __name__ == "__main__":
    main()
