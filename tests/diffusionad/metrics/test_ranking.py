from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score

from diffusionad.metrics.pixels import sweep_pixels
from diffusionad.metrics.pro import pro
from diffusionad.metrics.ranking import image_ap, image_auroc, image_f1, pixel_metrics

GOLDEN = Path(__file__).parents[2] / "golden" / "golden_metrics.npz"


@st.composite
def image_sets(draw):
    """One to four small images of integer scores: few levels make ties, one level a constant map."""
    levels = draw(st.sampled_from([0, 1, 3, 1000]))
    maps, masks = [], []
    for _ in range(draw(st.integers(1, 4))):
        shape = draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
        maps.append(draw(hnp.arrays(np.float64, shape, elements=st.integers(-levels, levels))))
        masks.append(draw(hnp.arrays(np.bool_, shape)))
    return maps, masks


def regions_of(mask):
    """8-connected regions as lists of pixels, by flooding."""
    left, regions = {tuple(p) for p in np.argwhere(mask).tolist()}, []
    while left:
        region, front = [], [left.pop()]
        while front:
            y, x = front.pop()
            region.append((y, x))
            near = {(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)} & left
            left -= near
            front.extend(near)
        regions.append(region)
    return regions


def brute_force(maps, masks, fpr_limit):
    """AUROC, AP, PRO and best F1 with its threshold, by definition: every threshold in turn, in exact fractions."""
    normal = [s for m, k in zip(maps, masks, strict=True) for s in m[~k]]
    regions = [[m[p] for p in region] for m, k in zip(maps, masks, strict=True) for region in regions_of(k)]
    anomalous = [s for region in regions for s in region]
    limit, x, y, recall = Fraction(fpr_limit), Fraction(0), Fraction(0), Fraction(0)
    pro_area = auroc = ap = best = Fraction(0)
    best_threshold = None
    for threshold in sorted({*normal, *anomalous}, reverse=True):
        false = sum(int(s >= threshold) for s in normal)
        true = sum(int(s >= threshold) for s in anomalous)
        overlaps = [Fraction(sum(int(s >= threshold) for s in region), len(region)) for region in regions]
        next_x, next_y, next_recall = (
            Fraction(false, len(normal)),
            sum(overlaps) / len(regions),
            Fraction(true, len(anomalous)),
        )
        ap += (next_recall - recall) * Fraction(true, true + false)
        auroc += (next_x - x) * (recall + next_recall) / 2
        if x < limit and next_x > x:
            end = min(next_x, limit)
            end_y = y + (next_y - y) * (end - x) / (next_x - x)
            pro_area += (end - x) * (y + end_y) / 2
        f1 = Fraction(2 * true, len(anomalous) + true + false)
        if f1 > best:
            best, best_threshold = f1, threshold
        x, y, recall = next_x, next_y, next_recall
    return [float(v) for v in (auroc, ap, pro_area / limit, best, best_threshold)]


ONE_REGION = np.array([[True, False], [False, False]])


@given(image_sets(), st.sampled_from([0.05, 0.3, 0.5, 1.0]))
@example(([np.zeros((2, 2))], [ONE_REGION]), 0.3)  # one region; the limit lies inside the only tie
@example(
    ([np.zeros((1, 2)), np.eye(2)], [np.ones((1, 2), np.bool_), ONE_REGION]), 0.5
)  # all pixels of an image anomalous
@example(([np.arange(6.0).reshape(2, 3)], [np.array([[1, 0, 0], [0, 1, 0]], np.bool_)]), 0.3)  # touching at a corner
@example(([np.array([[3, 3, 3, 3, 1.0]])], [np.array([[1, 0, 0, 1, 0]], np.bool_)]), 0.3)  # the limit inside a tie
def test_pixel_metrics_agree_with_every_threshold_tried_in_turn(image_set, fpr_limit):
    maps, masks = image_set
    inside = sum(k.sum() for k in masks)
    if inside == 0 or inside == sum(k.size for k in masks):
        with pytest.raises(ValueError, match="undefined: there is nothing"):
            pixel_metrics(maps, masks, fpr_limit)
        return

    result = pixel_metrics(maps, masks, fpr_limit)

    assert list(result) == pytest.approx(brute_force(maps, masks, fpr_limit), abs=1e-12)


@pytest.mark.parametrize("case", ["smooth", "sat", "q8"])
def test_the_golden_figures_come_out(case):
    with np.load(GOLDEN, allow_pickle=False) as golden:
        maps, masks, expected = (golden[f"{case}_{part}"] for part in ("maps", "masks", "expected"))
    count = round(maps[0].size * 50 / 256**2)  # the paper takes 50 of 256 x 256
    highest = np.sort(maps.reshape(len(maps), -1).astype(np.float64))[:, -count:]
    labels, scores = masks.any(axis=(1, 2)), highest.mean(axis=1)

    pixel = pixel_metrics(maps, masks, 0.3)
    narrow = float(pro(sweep_pixels(maps, masks), 0.05))
    ours = [image_auroc(labels, scores), image_ap(labels, scores), pixel.auroc, pixel.ap, pixel.pro, narrow]

    assert ours == pytest.approx(expected[:6].tolist(), abs=1e-9)


@pytest.fixture(params=["float16", "float32", "float64", "8 bits"])
def noisy(request):
    """Six maps of 40x40 with square defects in half of them, in several precisions."""
    rng = np.random.default_rng(0)
    masks = np.zeros((6, 40, 40), np.bool_)
    masks[:3, 5:15, 20:31] = True
    maps = rng.normal(size=masks.shape) + masks
    return (np.round(maps * 20) if request.param == "8 bits" else maps.astype(request.param)), masks


def test_pixel_metrics_agree_with_scikit_learn(noisy):
    maps, masks = noisy
    y_true, y_score = masks.ravel(), maps.ravel().astype(np.float64)
    precision, recall, thresholds = precision_recall_curve(y_true, y_score)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-300)

    result = pixel_metrics(maps, masks, 0.3)

    assert result.auroc == pytest.approx(roc_auc_score(y_true, y_score), abs=1e-12)
    assert result.ap == pytest.approx(average_precision_score(y_true, y_score), abs=1e-12)
    assert result.f1 == pytest.approx(f1.max(), abs=1e-12)
    assert result.f1_threshold == thresholds[np.argmax(f1)]


@given(st.lists(st.tuples(st.booleans(), st.integers(-5, 5)), min_size=2, max_size=30))
def test_image_metrics_agree_with_scikit_learn(images):
    labels, scores = np.array([a for a, _ in images]), np.array([float(s) for _, s in images])
    if labels.all() or not labels.any():
        with pytest.raises(ValueError, match="undefined"):
            image_auroc(labels, scores)
        return

    f1, threshold = image_f1(labels, scores)

    assert image_auroc(labels, scores) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    assert image_ap(labels, scores) == pytest.approx(average_precision_score(labels, scores), abs=1e-12)
    flagged = [scores >= t for t in scores]
    every_f1 = [2 * (f & labels).sum() / (f.sum() + labels.sum()) for f in flagged]
    assert f1 == pytest.approx(max(every_f1), abs=1e-12)
    assert threshold == max(t for t, value in zip(scores, every_f1, strict=True) if value > f1 - 1e-9)


def test_only_the_order_of_scores_counts(noisy):
    maps, masks = noisy
    steeper = np.arctan(maps.astype(np.float64) / 50)

    before, after = pixel_metrics(maps, masks, 0.3), pixel_metrics(steeper, masks, 0.3)

    assert after[:4] == before[:4]
    assert after.f1_threshold == pytest.approx(np.arctan(before.f1_threshold / 50))


def test_the_order_of_images_does_not_count(noisy):
    maps, masks = noisy
    order = [3, 0, 5, 1, 4, 2]

    assert pixel_metrics(maps[order], masks[order], 0.3) == pytest.approx(pixel_metrics(maps, masks, 0.3), abs=1e-12)


def test_two_images_may_be_one_image_cut_in_half(noisy):
    maps, masks = noisy
    halves = [m[:, half] for m in maps for half in (slice(0, 18), slice(18, None))]
    half_masks = [k[:, half] for k in masks for half in (slice(0, 18), slice(18, None))]

    assert pixel_metrics(halves, half_masks, 0.3) == pytest.approx(pixel_metrics(maps, masks, 0.3), abs=1e-12)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_has_no_rank_is_refused_with_the_index_of_its_image(value):
    maps, masks = np.zeros((3, 2, 2)), np.zeros((3, 2, 2), np.bool_)
    masks[0, 0, 0], maps[2, 1, 1] = True, value

    with pytest.raises(ValueError, match="image 2: the map holds NaN or infinity"):
        pixel_metrics(maps, masks, 0.3)
    with pytest.raises(ValueError, match="image 1: expected a finite score"):
        image_auroc([0, 1], [0.0, value])


def test_labels_other_than_zero_and_one_are_refused():
    with pytest.raises(ValueError, match=r"image 1: expected label 0 \(normal\) or 1"):
        image_ap([0, 2], [0.1, 0.2])
    with pytest.raises(ValueError, match="a label and a score per image"):
        image_ap([0, 1], [0.1])
