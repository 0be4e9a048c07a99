import shutil
from pathlib import Path

import pytest

from pipelines.tracking import store
from pipelines.tracking.results import read_result
from pipelines.tracking.store import EMBEDDED
from pipelines.tracking.track import KEY, find_runs, log_history, start_run, track

pytestmark = pytest.mark.filterwarnings("ignore:unclosed database:ResourceWarning")  # mlflow leaves SQLite open


def artifacts(client, run_id, folder=None):
    found = []
    for item in client.list_artifacts(run_id, folder):
        found += artifacts(client, run_id, item.path) if item.is_dir else [item.path]
    return found


def test_a_run_holds_what_the_stages_left(client, entry):
    run = client.get_run(run_id := track(client, entry))

    assert run.info.status == "FINISHED"
    assert run.data.params["image.size"] == "[16, 16]"
    assert run.data.params["detector.mode"] == "norm_guided"
    assert run.data.tags["git.dirty"] == "false"
    assert (run.data.tags["licence"], run.data.tags["non_commercial"]) == ("CC0", "false")
    assert run.data.metrics["image_auroc"] == read_result(entry).metrics["image_auroc"]
    assert {"image_auroc_low", "image_auroc_high", "pixel_pro"} <= set(run.data.metrics)
    assert run.data.metrics["latency.predict.norm_guided.torch-fp32.batch_1_threads_2.ms_p50"] == 3.5
    assert [m.value for m in client.get_metric_history(run_id, "loss_total")] == [2.0, 1.0]
    (dataset,) = run.inputs.dataset_inputs
    assert dataset.dataset.name == "toy/disc"
    assert read_result(entry).config["manifest"].startswith(dataset.dataset.digest)
    assert {tag.key: tag.value for tag in dataset.tags}["test_images"] == "12"
    names = artifacts(client, run_id)
    assert {
        "data/validation.html",
        "data/foreground.json",
        "data/manifest.parquet",
        "lineage/dvc.lock",
        "lineage/environment.txt",
        "lineage/params.yaml",
        "lineage/diffusionad.yaml",
        "curves/roc.png",
        "curves/pr.png",
        "curves/pro.png",
        "curves/histogram.png",
        "pictures/best.png",
        "pictures/borderline.png",
        "model/MLmodel",
        "model/input_example.json",
        "model/artifacts/disc/model.safetensors",
        "model/code/diffusionad/detector.py",
        "model/code/diffusionad/detectors/diffusionad/model.py",
    } <= set(names)


def test_the_same_result_is_logged_once_and_survives_the_loss_of_the_database(client, entry):
    first = client.get_run(track(client, entry)).data

    assert len(find_runs(client, entry, read_result(entry).key)) == 1
    again = track(client, entry)
    assert client.get_run(again).data.metrics == first.metrics
    assert len(find_runs(client, entry, read_result(entry).key)) == 1

    shutil.rmtree(EMBEDDED)
    # A file of this name is known to be ready; the tables are gone with the folder.
    rebuilt = store.connect()
    after = rebuilt.get_run(track(rebuilt, entry)).data
    assert (after.metrics, after.params) == (first.metrics, first.params)


def test_half_a_run_of_a_killed_process_is_replaced(client, entry):
    half = start_run(client, entry)
    client.set_tag(half, KEY, read_result(entry).key)

    whole = track(client, entry)

    assert whole != half
    assert [run.info.run_id for run in find_runs(client, entry, read_result(entry).key)] == [whole]


def test_a_run_that_followed_the_training_is_completed_not_doubled(client, entry):
    followed = start_run(client, entry)
    log_history(client, followed, [{"step": 2, "loss_total": 2.0}], after=-1)

    assert track(client, entry, adopt=followed) == followed
    assert [m.step for m in client.get_metric_history(followed, "loss_total")] == [2, 4]


def test_figures_that_do_not_exist_are_left_out_with_their_reason(client, entry):
    entry.paths.metrics.write_text('{"image_auroc": 0.5, "pixel_pro": null, "pixel_reason": "no masks"}')

    run = client.get_run(track(client, entry))

    assert "pixel_pro" not in run.data.metrics
    assert run.data.tags["pixel_reason"] == "no masks"


def test_a_category_without_a_model_is_refused(client, entry):
    Path(entry.paths.model, "model.json").unlink()

    with pytest.raises(ValueError, match=r"model\.json: not found; run `dvc repro` first"):
        track(client, entry)
