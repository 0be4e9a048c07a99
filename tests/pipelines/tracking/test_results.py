import json
from pathlib import Path

import pytest

from pipelines.tracking.results import read_result, read_stage_settings
from toys.detectors import TINY


def test_the_same_files_give_the_same_key_and_other_figures_another(entry):
    before = read_result(entry)

    assert read_result(entry).key == before.key
    figures = json.loads(entry.paths.metrics.read_text())
    entry.paths.metrics.write_text(json.dumps(figures | {"image_auroc": 0.123}))
    after = read_result(entry)
    assert after.key != before.key
    assert after.model_digest == before.model_digest


def test_figures_and_the_reasons_of_missing_ones_are_told_apart(entry):
    entry.paths.metrics.write_text('{"image_auroc": 0.5, "pixel_pro": null, "pixel_reason": "no masks"}')

    result = read_result(entry)

    assert result.metrics == {"image_auroc": 0.5, "pixel_pro": None}
    assert result.reasons == {"pixel_reason": "no masks"}


@pytest.mark.parametrize("content", [None, "{", ""])
def test_figures_that_are_missing_or_half_written_are_refused_by_name(entry, content):
    entry.paths.metrics.unlink()
    if content is not None:
        entry.paths.metrics.write_text(content)

    with pytest.raises(ValueError, match=r"metrics\.json: not .*dvc repro"):
        read_result(entry)


def test_settings_are_those_that_the_stages_ran_with(entry):
    Path("dvc.lock").write_text(
        "stages:\n"
        "  train@toy-disc:\n    params:\n      params.yaml:\n        training:\n          steps: 7\n"
        "      params/detectors/diffusionad.yaml:\n        unet:\n          dropout: 0.5\n"
        "  train@toy-other:\n    params:\n      params.yaml:\n        training:\n          steps: 8\n"
    )

    assert read_stage_settings(entry) == {"training.steps": "7", "detector.unet.dropout": "0.5"}


def test_without_a_lock_settings_are_those_of_the_files(entry):
    settings = read_stage_settings(entry)

    assert settings["image.size"] == "[16, 16]"
    assert settings["detector.unet.base_channels"] == str(TINY["unet"]["base_channels"])
    assert {name for name in settings if not name.startswith("detector.")} == {"image.size"}
