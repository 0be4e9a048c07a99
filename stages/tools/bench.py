"""Measure all times of a trained model, which takes minutes: `make bench`, or `python -m stages.tools.bench KEY`.

Exports the model for each installed runtime and each precision, then times all exports that pass their check; the
longer table replaces the one of DVC's stage `benchmark`.
"""

import logging
from pathlib import Path

from diffusionad.deployment.parity import ExportConfig
from diffusionad.detector import CONFIG, WEIGHTS, Detector
from diffusionad.runtime.engines import EXPORTS, Variant
from diffusionad.runtime.record import digest_of, read_record
from stages import command
from stages.benchmark.stage import BenchmarkConfig, count_gmac, read_test_images, write_times
from stages.benchmark.timing import Subject
from stages.params import read_section
from stages.paths import CategoryPaths
from stages.tools.export import export

LOG = logging.getLogger(__name__)


def bench(config: BenchmarkConfig, exports: ExportConfig, *, paths: CategoryPaths) -> None:
    """Export the model in every way and time it; the times replace those of stage `benchmark`."""
    detector = Detector.load(paths.model)
    images = read_test_images(detector, max(config.batch_sizes), paths)
    subjects = [Subject(Variant("torch", "fp32"), None), *export_all(exports, paths)]
    write_times(config.batch_sizes, config.bench, detector, subjects, images, count_gmac(detector, images[:1]), paths)


def export_all(config: ExportConfig, paths: CategoryPaths) -> list[Subject]:
    """Export the model in every way that is not done yet; what is not installed or is refused is logged and skipped."""
    subjects = []
    model = digest_of([paths.model / CONFIG, paths.model / WEIGHTS])
    for variant in (Variant(*names) for names in EXPORTS):
        try:
            if not _is_exported(variant, model, paths.exports):
                export(config, variant, model=paths.model, out=paths.exports)
        except ValueError as error:
            LOG.info("%s is left out: %s", variant, error)
        else:
            subjects.append(Subject(variant, paths.exports / str(variant)))
    return subjects


def _is_exported(variant: Variant, model: str, exports: Path) -> bool:
    try:
        read_record(exports, variant, model)
    except ValueError:
        return False
    return True


def _run(_key: str, paths: CategoryPaths) -> None:
    bench(read_section(BenchmarkConfig, "benchmark"), read_section(ExportConfig, "export"), paths=paths)


def main() -> None:
    command.run(_run)


if __name__ == "__main__":
    main()
