"""The peak memory of a prediction, measured in its own process."""

import multiprocessing
import resource
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import torch

from diffusionad.detector import Detector
from diffusionad.runtime.engines import Variant, open_engine


def peak_mib(model: Path, variant: Variant, folder: Path | None, batch: int) -> float:
    """Load a model in a fresh process, predict a batch of noise and return the peak memory, MiB.

    Args:
        model: Folder of the model.
        variant: Runtime and precision.
        folder: Folder of the export; None for torch.
        batch: Images per call.
    """
    with ProcessPoolExecutor(max_workers=1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_predict, model, variant, folder, batch).result()


def _predict(model: Path, variant: Variant, folder: Path | None, batch: int) -> float:
    detector = Detector.load(model)
    if folder is not None:
        detector = detector.with_engine(variant, open_engine(folder, variant, torch.get_num_threads()))
    images = torch.rand(batch, 3, *detector.config.image_size, generator=torch.Generator().manual_seed(0))
    detector.predict(images, batch_size=batch)
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)
