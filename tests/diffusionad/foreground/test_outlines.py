"""Intersection over union with outlines checked by eye, on the photographs of a mirror that DATA_MIRROR names.

The outlines began as masks of IS-Net (medium), were looked at one by one at two or three times their size, and
corrected where they missed a tip or a piece of chocolate. So they measure every method but `isnet`.
"""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from diffusionad.data.images import read_image
from diffusionad.foreground.choice import choose_method
from diffusionad.foreground.methods import ForegroundConfig, prepare, whole_unless_credible
from stages.params import read_section

ROOT = Path(__file__).parents[3]
OUTLINES = json.loads((ROOT / "tests/golden/foreground/outlines.json").read_text(encoding="utf-8"))["outlines"]
TEXTURES = ["magnetic_tile/magnetic_tile", "ksdd/commutator", "bsdata/ball_screw"]

pytestmark = pytest.mark.skipif("DATA_MIRROR" not in os.environ, reason="DATA_MIRROR names no mirror")


@pytest.fixture(scope="module")
def mirror():
    return ROOT / os.environ["DATA_MIRROR"]


@pytest.fixture(scope="module")
def settings():
    return read_section(ForegroundConfig, "foreground", ROOT / "params.yaml")


def drawn(outline):
    height, width = outline["size"]
    picture = Image.new("1", (width, height))
    points = [tuple(map(int, point.split(","))) for point in outline["polygon"].split()]
    ImageDraw.Draw(picture).polygon(points, fill=1, outline=1)
    return np.asarray(picture)


@pytest.mark.parametrize("dataset", ["hazelnut_toy", "aws_cookie_visa_layout"])
def test_auto_reaches_nine_tenths(mirror, settings, dataset, overlap):
    truths = {name: drawn(outline) for name, outline in OUTLINES.items() if name.startswith(dataset)}
    images = [read_image(mirror / name, None) for name in truths]

    find = prepare(settings, choose_method(settings, images).method, images)

    overlaps = [
        overlap(whole_unless_credible(settings, find(i)).mask, t) for i, t in zip(images, truths.values(), strict=True)
    ]
    assert len(overlaps) == 10
    assert np.mean(overlaps) >= 0.9


@pytest.mark.parametrize("category", TEXTURES)
def test_auto_takes_surfaces_whole(mirror, settings, category):
    files = sorted((mirror / category / "train/good").iterdir())
    images = [read_image(file, None) for file in files[:: len(files) // 6]]

    assert choose_method(settings, images).method == "full"
