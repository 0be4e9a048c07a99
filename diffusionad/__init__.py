"""DiffusionAD: anomaly detection by norm-guided one-step denoising. Tensors in, tensors out.

`base` says what a detector is; `detectors` holds one folder per kind, and what several share is in `joint`, `diffusion`
and `networks`. `training` fits a detector and `Detector` is the only way to use one. `synthesis`, `data`, `metrics` and
`evaluation` stand free. Nothing here knows a tool: no DVC, no tracker.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from diffusionad.detector import Detector

__all__ = ["Detector"]


def __getattr__(name: str) -> object:
    """Import `Detector` when it is asked for: it needs torch, which takes seconds and which most rooms do without."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module("diffusionad.detector"), name)
