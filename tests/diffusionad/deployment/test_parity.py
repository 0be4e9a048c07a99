import numpy as np
import pytest

from diffusionad.deployment.parity import Answers, ExportConfig, MapBounds, check, compare

CONFIG = ExportConfig(
    max_map_difference=MapBounds(fp32=1e-4, bf16=0.05, int8=0.15),
    max_auroc_loss=0.1,
    validation_images=4,
    calibration_images=2,
    rounds=1,
)
LABELS = np.array([0, 0, 1, 1])
MAPS = np.full((4, 2, 2), 0.5, np.float32)
GOOD = Answers(np.array([0.1, 0.2, 0.3, 0.4]), MAPS)


def test_the_same_answers_pass():
    agreement = compare(LABELS, GOOD, GOOD)

    assert agreement == (0.0, 1.0, 1.0)
    check(CONFIG, "fp32", agreement)


@pytest.mark.parametrize(
    ("shift", "passes"), [(5e-5, {"fp32", "bf16", "int8"}), (0.01, {"bf16", "int8"}), (0.3, set())]
)
def test_each_precision_has_its_bound(shift, passes):
    moved = MAPS.copy()
    moved[2, 0, 1] += shift

    for precision in ("fp32", "bf16", "int8"):
        agreement = compare(LABELS, GOOD._replace(maps=moved), GOOD)
        if precision in passes:
            check(CONFIG, precision, agreement)
        else:
            with pytest.raises(ValueError, match=f"export.max_map_difference.{precision} allows"):
                check(CONFIG, precision, agreement)


def test_an_export_that_ranks_images_worse_is_refused():
    worse = GOOD._replace(scores=np.array([0.1, 0.35, 0.3, 0.4]))

    with pytest.raises(ValueError, match=r"falls from 1\.000 to 0\.750, and export.max_auroc_loss allows 0\.1"):
        check(CONFIG, "int8", compare(LABELS, worse, GOOD))


def test_nan_does_not_pass():
    broken = GOOD._replace(maps=np.full_like(MAPS, np.nan))

    with pytest.raises(ValueError, match="differs from torch's by up to inf"):
        check(CONFIG, "int8", compare(LABELS, broken, GOOD))


def test_without_anomalies_the_map_alone_decides():
    agreement = compare(np.zeros(4, np.int64), GOOD, GOOD)

    assert agreement.image_auroc is None
    check(CONFIG, "fp32", agreement)
