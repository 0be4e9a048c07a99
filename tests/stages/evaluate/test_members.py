"""What members of an ensemble are worth: each alone, and the ensemble without it."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from diffusionad.base import Output, image_score
from diffusionad.metrics.ranking import image_auroc, pixel_metrics
from stages.common.schemas import read_metrics, write_metrics
from stages.evaluate.members import MemberFigures
from stages.evaluate.report.figures_in_words import worth_of_members
from stages.evaluate.truth import Truth
from stages.paths import CategoryPaths
from stages.tools.summary import lines
from toys.pictures import mark

SIZE = (24, 32)
WEIGHTS = {"a": 0.5, "b": 0.375, "c": 0.125}
LABELS = np.asarray([0, 0, 0, 1, 1, 1])


@pytest.fixture
def logits():
    """Maps of three members for six images, of which the last three have a defect that not all members see as well."""
    maps = torch.randn(6, 3, *SIZE, generator=torch.Generator().manual_seed(0)).half().float()
    maps[3:, 0, 10:20, 10:20] += 1.0
    maps[3:, 1, 10:20, 10:20] += 0.5
    return maps


@pytest.fixture
def truth(tmp_path):
    for index in (3, 4, 5):
        mark(tmp_path / f"{index}.png", size=SIZE)
    masks = {index: tmp_path / f"{index}.png" if index > 2 else None for index in range(6)}
    return Truth([], LABELS, masks, None)


def detector(weights, top_k_fraction=0.01):
    model = SimpleNamespace(top_k_fraction=top_k_fraction)
    return SimpleNamespace(members=weights, config=SimpleNamespace(image_size=SIZE, model=model))


def figures_of(weights, logits, truth, batch=4):
    members = MemberFigures(detector(weights), truth)
    for first in range(0, len(logits), batch):
        members.add_images(first, logits[first : first + batch])
    return members.figures(0.3)


def expected(maps, truth):
    """The figures of a single map, by the functions that sort all pixels."""
    pixels = pixel_metrics(maps.half().numpy(), truth.read_masks(SIZE), 0.3)
    auroc = image_auroc(LABELS, image_score(Output(maps), 0.01).numpy())
    return pytest.approx([auroc, pixels.pro, pixels.ap], abs=1e-5)  # sums in another order


def three(figures, part, on=""):
    return [figures[f"{part}_image_auroc"], figures[f"{on}{part}_pixel_pro"], figures[f"{on}{part}_pixel_ap"]]


def test_a_member_alone_has_the_figures_of_its_own_map(logits, truth):
    figures = figures_of(WEIGHTS, logits, truth)

    for place, name in enumerate(WEIGHTS):
        assert three(figures, f"member_{name}") == expected(logits[:, place], truth)
        assert figures[f"member_{name}_weight"] == WEIGHTS[name]
    assert figures["member_a_pixel_ap"] > figures["member_c_pixel_ap"] + 0.1


def test_without_a_member_the_others_keep_the_ratio_of_their_weights(logits, truth):
    figures = figures_of(WEIGHTS, logits, truth)

    assert three(figures, "without_a") == expected(0.75 * logits[:, 1] + 0.25 * logits[:, 2], truth)
    assert three(figures, "without_c") == expected((0.5 * logits[:, 0] + 0.375 * logits[:, 1]) / 0.875, truth)


def test_figures_do_not_depend_on_the_batches(logits, truth):
    assert figures_of(WEIGHTS, logits, truth, batch=1) == figures_of(WEIGHTS, logits, truth, batch=6)


def test_a_single_member_has_no_ensemble_without_it(logits, truth):
    figures = figures_of({"a": 1.0}, logits[:, :1], truth)

    assert set(figures) == {"member_a_weight", "member_a_image_auroc", "member_a_pixel_pro", "member_a_pixel_ap"}


def test_a_detector_without_members_has_no_such_figures(truth):
    members = MemberFigures(detector({}), truth)
    members.add_images(0, None)
    members.add_pixels(None)

    assert members.figures(0.3) == {}


def test_on_synthetic_defects_pixel_figures_say_so(logits, truth):
    masks = np.stack(list(truth.read_masks(SIZE)))
    made = truth._replace(masks={}, synthetic=SimpleNamespace(masks=masks))
    members = MemberFigures(detector(WEIGHTS), made)
    members.add_images(0, logits)
    members.add_pixels(logits[:4])
    members.add_pixels(logits[4:])

    figures, real = members.figures(0.3), figures_of(WEIGHTS, logits, truth)

    assert three(figures, "without_b", "synthetic_") == three(real, "without_b")
    assert "without_b_pixel_pro" not in figures


def test_what_cannot_be_computed_is_null(logits, truth):
    figures = figures_of(WEIGHTS, logits, truth._replace(labels=np.zeros(6, np.int64), masks={}))

    assert three(figures, "member_a") == three(figures, "without_a") == [None, None, None]


def test_metrics_take_the_figures_of_members_and_no_others(logits, truth, tmp_path):
    figures = figures_of(WEIGHTS, logits, truth)
    write_metrics(tmp_path / "metrics.json", figures)

    parts = read_metrics(tmp_path / "metrics.json").parts

    assert [part.title for part in parts] == [*(f"{m} alone" for m in "abc"), *(f"without {m}" for m in "abc")]
    assert parts[1].weight == 0.375
    assert parts[1].figures["pixel_pro"] == figures["member_b_pixel_pro"]
    for wrong in ("member_d_image_auroc", "without_a_weight", "synthetic_member_a_image_auroc"):
        with pytest.raises(ValueError, match=f"unknown key `{wrong}`"):
            write_metrics(tmp_path / "metrics.json", figures | {wrong: 0.5})


def test_the_table_begins_with_the_whole_and_a_terminal_shows_it(tmp_path):
    figures = {"image_auroc": 0.9, "pixel_pro": None, "synthetic_pixel_pro": 0.6, "synthetic_pixel_ap": 0.3}
    assert worth_of_members(figures) == []
    figures |= {"member_a_weight": 1.0, "member_a_image_auroc": 0.8, "synthetic_member_a_pixel_pro": 0.5}

    rows = worth_of_members(figures)

    assert rows == [("the whole", None, (0.9, 0.6, 0.3)), ("a alone", 1.0, (0.8, 0.5, None))]
    paths = CategoryPaths("toys", "noise", tmp_path)
    paths.metrics.parent.mkdir(parents=True)
    paths.metrics.write_text(json.dumps(figures))
    said = list(lines(paths, 0.3))
    assert "  a alone                     1.00        0.800  0.500         -" in said
