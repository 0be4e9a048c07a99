"""What is written is read back, and a file of another form is refused in one line."""

import json
import re
from pathlib import Path

import pandas as pd
import pytest

from diffusionad.synthesis.blend import SynthesisConfig
from stages.common.schemas import (
    MeasuredTimes,
    ModelCost,
    read_document,
    read_history,
    read_metrics,
    read_test_scores,
    write_document,
    write_history,
    write_metrics,
    write_test_scores,
)

SETTINGS = Path(__file__).parents[2] / "diffusionad" / "synthesis" / "settings.json"
FIGURES = {
    "image_auroc": 0.9,
    "image_auroc_low": 0.8,
    "image_auroc_high": 1.0,
    "pixel_pro": None,
    "pixel_reason": "no masks",
    "threshold": 0.5,
    "test_normal": 4,
}
RECORDS = [{"step": 2, "loss_total": 0.5, "val_image_auroc": 1.0}, {"step": 4, "val_pixel_ap": 0.25}]
COST = {"parameters": {"net": 3}, "model_mib": 0.5, "image_size": [32, 48], "gmac_per_image": {"one_step": 0.25}}
TIMING = {"ms_p50": 2.0, "ms_p95": 3.0, "ms_p99": 3.0, "ms_min": 1.0, "spread": 0.1, "images_per_s": 500.0}
TIMES = {
    "machine": {"processor": "some", "cpu_capability": "AVX2", "cores": 2, "load_1min": 0.5, "torch": "2.13.0"},
    "calibration": [{"threads": 1, "gemm_gflops": 50.0, "copy_gib_per_s": 10.0}],
    "memory": {"torch-fp32": {"peak_memory_mib": 300.0, "batch": 1, "model_mib": 0.5}},
    "predict": {"one_step": {"torch-fp32": {"a": {**TIMING, "threads": 1, "batch": 1, "share_of_peak": 0.01}}}},
}


@pytest.fixture
def table():
    return pd.DataFrame(
        {
            "path": ["a.png", "b.png"],
            "sha256": ["0", "1"],
            "label": [0, 1],
            "defect": ["good", "hole"],
            "score": [0.25, 0.75],
            "is_anomalous": [False, True],
        }
    )


def refused(path, line):
    """One line that names the file and says what to do."""
    return pytest.raises(ValueError, match=rf"\A{re.escape(str(path))}: {line}[^\n]*\Z")


def test_metrics_are_read_as_they_were_written(tmp_path):
    file = tmp_path / "metrics.json"

    write_metrics(file, FIGURES)

    metrics = read_metrics(file)
    assert file.read_text() == json.dumps(FIGURES, indent=2) + "\n"
    assert list(metrics.content.items()) == list(FIGURES.items())
    assert metrics.reasons == {"pixel_reason": "no masks"}
    assert set(metrics.numbers) == set(FIGURES) - {"pixel_reason"}
    assert metrics.figures == [
        ("image_auroc", 0.9, 0.8, 1.0),
        ("pixel_pro", None, None, None),
        ("threshold", 0.5, None, None),
        ("test_normal", 4, None, None),
    ]


@pytest.mark.parametrize(
    ("content", "wrong"),
    [
        ([], "expected an object of figures by name, got list"),
        ({"image_auroc": "high"}, "`image_auroc`: expected a number or null, got 'high'"),
        ({"test_normal": 1.5}, "`test_normal`: expected a count, got 1.5"),
        ({"pixel_reason": None}, "`pixel_reason`: expected a sentence, got None"),
        ({"image_auroc": True}, "`image_auroc`: expected a number or null, got True"),
        ({"threshold_low": 0.5}, "unknown key `threshold_low`"),
    ],
)
def test_metrics_of_another_form_are_neither_read_nor_written(tmp_path, content, wrong):
    file = tmp_path / "metrics.json"
    file.write_text(json.dumps(content))

    with refused(file, f"not the figures of a category: {wrong}; run `dvc repro`"):
        read_metrics(file)
    with refused(file, f"not written: {wrong}"):
        write_metrics(file, content)


def test_scores_are_read_as_they_were_written(tmp_path, table):
    write_test_scores(tmp_path / "scores.parquet", table)

    pd.testing.assert_frame_equal(read_test_scores(tmp_path / "scores.parquet"), table)


def test_scores_of_another_form_are_neither_read_nor_written(tmp_path, table):
    file = tmp_path / "scores.parquet"
    table.drop(columns="score").to_parquet(file)

    with refused(file, "not a table of scores: expected the columns path .*run `dvc repro`"):
        read_test_scores(file)
    with refused(file, "not written: expected the columns"):
        write_test_scores(file, table.drop(columns="score"))
    with refused(file, "not written: .*score"):
        write_test_scores(file, table.assign(score="high"))
    table.assign(label=0.5).to_parquet(file)
    with refused(file, "not a table of scores: .*label double"):
        read_test_scores(file)
    file.write_text("no table")
    with refused(file, "not a table of scores: .*run `dvc repro`"):
        read_test_scores(file)
    with refused(tmp_path / "none", "not found; run `dvc repro` first"):
        read_test_scores(tmp_path / "none")


def test_a_history_is_read_as_it_was_written(tmp_path):
    file = tmp_path / "history.jsonl"

    write_history(file, RECORDS)

    assert file.read_text() == "".join(json.dumps(record) + "\n" for record in RECORDS)
    assert read_history(file) == RECORDS


def test_a_history_ends_before_the_line_that_is_being_written(tmp_path):
    (tmp_path / "history.jsonl").write_text('{"step": 1}\n{"step": 2}\n{"st')

    assert read_history(tmp_path / "history.jsonl") == [{"step": 1}, {"step": 2}]
    assert read_history(tmp_path / "none.jsonl") == []


@pytest.mark.parametrize(
    ("record", "wrong"),
    [
        ([1], "expected an object with a `step`, got"),
        ({"loss_total": 1.0}, "expected an object with a `step`, got"),
        ({"step": 1, "epoch": 1}, "unknown key `epoch`"),
        ({"step": 1, "loss_total": "small"}, "`loss_total`: expected a number, got 'small'"),
    ],
)
def test_a_history_of_another_form_is_neither_read_nor_written(tmp_path, record, wrong):
    file = tmp_path / "history.jsonl"
    file.write_text(f'{{"step": 1}}\n{json.dumps(record)}\n')

    with refused(file, f"line 2 is no record of a training: {wrong}.*run `dvc repro`"):
        read_history(file)
    with refused(file, f"not written: {wrong}"):
        write_history(file, [{"step": 1}, record])


def test_a_history_that_is_broken_before_its_end_is_refused(tmp_path):
    file = tmp_path / "history.jsonl"
    file.write_text('{"st\n{"step": 2}\n')

    with refused(file, "line 1 is not JSON: .*run `dvc repro`"):
        read_history(file)


@pytest.mark.parametrize(("form", "content"), [(ModelCost, COST), (MeasuredTimes, TIMES)])
def test_a_document_is_read_as_it_was_written(tmp_path, form, content):
    document = form.model_validate_json(json.dumps(content))

    write_document(tmp_path / "file.json", document)

    assert json.loads((tmp_path / "file.json").read_text()) == content
    assert read_document(tmp_path / "file.json", form) == document


def test_settings_of_synthetic_anomalies_are_read_as_they_were_written(tmp_path):
    document = SynthesisConfig.model_validate_json(SETTINGS.read_bytes())

    write_document(tmp_path / "settings.json", document)

    assert read_document(tmp_path / "settings.json", SynthesisConfig) == document


@pytest.mark.parametrize(
    ("form", "content", "wrong"),
    [
        (ModelCost, COST | {"model_mib": "small"}, "`model_mib`: Input should be a valid number"),
        (ModelCost, COST | {"watts": 3}, "`watts`: Extra inputs are not permitted"),
        (MeasuredTimes, TIMES | {"machine": {}}, "`machine.processor`: Field required"),
        (SynthesisConfig, {}, "`opacity`: Field required"),
    ],
)
def test_a_document_of_another_form_is_refused(tmp_path, form, content, wrong):
    file = tmp_path / "file.json"
    file.write_text(json.dumps(content))

    with refused(file, f"not a {form.__name__}: {wrong}; run `make bench` to make it again"):
        read_document(file, form, "make bench")


def test_a_document_that_is_missing_or_no_json_is_refused(tmp_path):
    file = tmp_path / "file.json"

    with refused(file, "not found; run `dvc repro` first"):
        read_document(file, ModelCost)
    file.write_text("{")
    with refused(file, "not a ModelCost: Invalid JSON: .*; run `dvc repro` to make it again"):
        read_document(file, ModelCost)
