"""The peak memory of the figures of a large test set, measured on real files in its own process."""

import multiprocessing
import resource
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from diffusionad.evaluation.tally import tally
from stages.evaluate.figures import FiguresConfig, pixel_figures
from stages.evaluate.maps import MapWriter, PackedMasks, StoredMaps
from stages.tools.plain_implementations import random_maps

CHUNK = 100


def peak_of_maps(count: int, side: int) -> float:
    """Write `count` maps of side x side px, compute all figures with 1000 resamples; return the peak memory, MiB."""
    with (
        tempfile.TemporaryDirectory() as place,
        ProcessPoolExecutor(max_workers=1, mp_context=multiprocessing.get_context("spawn")) as pool,
    ):
        return pool.submit(_run, Path(place, "test.npy"), count, side).result()


def _run(file: Path, count: int, side: int) -> float:
    with file.open("wb") as stream:
        writer = MapWriter(stream, count, (side, side))
        for chunk in range(count // CHUNK):
            writer.write(random_maps(CHUNK, side, chunk)[0])
    marks = (mask for chunk in range(count // CHUNK) for mask in random_maps(CHUNK, side, chunk)[1])
    maps, masks = StoredMaps(file, range(count)), PackedMasks(marks, (side, side))
    counts = tally(maps, masks)
    pixel_figures(FiguresConfig(fpr_limit=0.3, resamples=1000, seed=0), "", maps, masks, counts)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
