import numpy as np
import pytest

from diffusionad.foreground.grabcut import GrabCutConfig
from diffusionad.foreground.isnet import IsNetConfig
from diffusionad.foreground.methods import ForegroundConfig
from diffusionad.foreground.threshold import SceneConfig, ThresholdConfig
from diffusionad.foreground.tidy import TidyConfig

SIZE = (75, 100)


@pytest.fixture
def config():
    return ForegroundConfig(
        working_px=256,
        area=(0.02, 0.95),
        sample=8,
        min_credibility=0.5,
        max_area_change=0.5,
        masks=None,
        scene=SceneConfig(border_px=4, lightness=0.3),
        tidy=TidyConfig(closing_px=5, opening_px=3, piece_fraction=0.2),
        threshold=ThresholdConfig(rule="auto", border_lightness=0.05),
        grabcut=GrabCutConfig(working_px=64, components=3, min_variance=0.3, smoothness=50, rounds=5),
        isnet=IsNetConfig(weights=None, size="small", sha256=None, threshold=0.5),
    )


@pytest.fixture
def disc():
    """A disc in a picture of SIZE."""

    def draw(y=40, x=45, radius=22):
        rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
        return (rows - y) ** 2 + (columns - x) ** 2 < radius**2

    return draw


@pytest.fixture
def photograph():
    """A shape of one colour on a noisy background of another."""

    def take(shape, background, object_, noise=0.03, seed=0):
        clean = np.where(shape[..., None], object_, background) * np.ones(3)
        noisy = clean + np.random.default_rng(seed).normal(0, noise, (*shape.shape, 1))
        return np.clip(noisy, 0, 1).astype(np.float32)

    return take


@pytest.fixture
def overlap():
    def iou(a, b):
        return (a & b).sum() / (a | b).sum()

    return iou
