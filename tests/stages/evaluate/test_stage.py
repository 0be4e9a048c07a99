"""Evaluation and benchmark of an untrained model: what is written, not how good it is."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

from diffusionad.data.manifest import manifest_digest, write_manifest
from diffusionad.detector import Detector
from stages.benchmark.stage import BenchmarkConfig, benchmark, count_gmac, read_test_images
from stages.benchmark.timing import Effort
from stages.evaluate.figures import FiguresConfig
from stages.evaluate.pictures import Gallery
from stages.evaluate.stage import EvaluationConfig, evaluate
from stages.paths import CategoryPaths
from toys.detectors import TINY, build_detector, describe_detector, read_config
from toys.images import ToyImages
from toys.manifest import fill
from toys.pictures import mark

MODEL = TINY | {
    "schedule": TINY["schedule"] | {"num_timesteps": 60},
    "guidance": TINY["guidance"] | {"t_s": 12, "t_b": 16, "tau": 14},
}
PATCHCORE = {
    "kind": "patchcore",
    "backbone_levels": [1, 2],
    "coreset_fraction": 0.2,
    "candidates": 3,
    "projection_dims": 16,
    "smoothing_fraction": 0.0,
    "top_k_fraction": 0.01,
}
CONFIG = EvaluationConfig(
    figures=FiguresConfig(fpr_limit=0.3, resamples=20, seed=0), curve_points=10, histogram_bins=4, pictures=2
)
SIZE = (32, 32)
PATHS = CategoryPaths("toys", "noise")


@pytest.fixture(scope="module")
def category(tmp_path_factory):
    """A folder with four normal and four anomalous test images, of which three have masks, and an untrained detector.

    Tests work on copies of it.
    """
    folder = tmp_path_factory.mktemp("category")
    rng = np.random.default_rng(0)
    rows = []
    for index in range(8):
        name, mask = f"test/{index}.png", f"truth/{index}.png" if index in (4, 5, 6) else None
        for file in filter(None, (name, mask)):
            (folder / PATHS.images / file).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (40, 44, 3), np.uint8)).save(folder / PATHS.images / name)
        if mask:
            mark(folder / PATHS.images / mask, size=(40, 44))
        rows.append({"path": name, "split": "test", "label": int(index > 3), "defect": "hole", "mask": mask})
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write(PATHS, rows)
    return folder


@pytest.fixture(scope="module")
def evaluated_category(category, tmp_path_factory):
    """The same after one evaluation."""
    folder = Path(shutil.copytree(category, tmp_path_factory.mktemp("evaluated") / "category"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        evaluate(CONFIG, paths=PATHS)
    return folder


@pytest.fixture
def paths(category, tmp_path, monkeypatch):
    """The category, in the current folder."""
    monkeypatch.chdir(shutil.copytree(category, tmp_path / "category"))
    return PATHS


@pytest.fixture
def evaluated(evaluated_category, tmp_path, monkeypatch):
    """The evaluated category, in the current folder."""
    monkeypatch.chdir(shutil.copytree(evaluated_category, tmp_path / "evaluated"))
    return PATHS


def write(paths, rows):
    write_manifest(fill(rows).assign(width=44, height=40), paths.manifest, {})
    paths.model.mkdir(parents=True, exist_ok=True)
    build_detector(SIZE, MODEL, manifest=manifest_digest(paths.manifest)).save(paths.model)
    return rows


def fit_patchcore(paths):
    """Replace the model of the category by one that makes no reconstructions."""
    config = describe_detector(read_config(PATCHCORE), SIZE, manifest=manifest_digest(paths.manifest))
    network = config.build().eval()
    images = torch.rand(4, 3, *SIZE)
    network.phases[0].fit(ToyImages(images), torch.Generator().manual_seed(0))
    detector = Detector(network, config)
    detector.calibrate(images)
    detector.save(paths.model)


def metrics(paths):
    return json.loads(paths.metrics.read_text())


def test_every_figure_has_its_interval_and_the_count_behind_it(evaluated):
    figures = metrics(evaluated)
    for name in ("image_auroc", "image_ap", "image_f1", "pixel_auroc", "pixel_ap", "pixel_pro"):
        assert 0 <= figures[f"{name}_low"] <= figures[f"{name}_high"] <= 1
    assert (figures["test_normal"], figures["test_anomalous"], figures["test_masks"]) == (4, 4, 3)


def test_maps_are_logits_in_the_order_of_the_scores(evaluated):
    scores = pd.read_parquet(evaluated.scores)
    maps = np.load(evaluated.maps / "test.npy")
    prediction = Detector.load(evaluated.model).predict([evaluated.images / name for name in scores["path"]])
    assert maps.dtype == np.float16
    np.testing.assert_allclose(maps, prediction.mask_logits.numpy(), atol=1e-3)
    np.testing.assert_allclose(scores["score"], prediction.image_score.numpy(), rtol=1e-6)
    assert (scores["is_anomalous"] == (scores["score"] >= 0.5)).all()


def test_the_page_has_pictures_of_every_test_image_and_outlines_of_every_mask(evaluated):
    pictures = {file.name for file in evaluated.report.glob("*.webp")}
    kinds = ("photograph", "0-reconstruction", "0-map", "0-heat")
    assert {name for name in pictures if "outline" not in name} == {
        f"0000{i}-{kind}.webp" for i in range(8) for kind in kinds
    }
    assert {name for name in pictures if "outline" in name} == {f"0000{i}-outline.webp" for i in (4, 5, 6)}
    text = evaluated.page.read_text(encoding="utf-8")
    for score in pd.read_parquet(evaluated.scores)["score"]:
        assert repr(float(score)) in text


def test_a_detector_without_reconstructions_has_pages_and_pictures_without_them(paths):
    fit_patchcore(paths)

    evaluate(CONFIG, paths=paths)

    pictures = {file.name for file in paths.report.glob("*.webp") if "outline" not in file.name}
    assert pictures == {f"0000{i}-{kind}.webp" for i in range(8) for kind in ("photograph", "0-map", "0-heat")}
    page = paths.page.read_text(encoding="utf-8")
    assert "<option" in page
    assert 'value="reconstruction"' not in page
    assert (metrics(paths)["image_auroc"], metrics(paths)["test_masks"]) != (None, 0)
    assert "reconstruction" not in "".join(pd.read_parquet(paths.scores).columns)


def test_an_overview_has_a_column_for_each_kind_of_picture(paths, monkeypatch):
    columns, subplots = set(), Figure.subplots

    def counted(self, nrows, ncols, **options):
        columns.add(ncols)
        return subplots(self, nrows, ncols, **options)

    monkeypatch.setattr(Figure, "subplots", counted)
    evaluate(CONFIG, paths=paths)
    assert columns == {4}

    columns.clear()
    fit_patchcore(paths)
    evaluate(CONFIG, paths=paths)
    assert columns == {3}


def test_figures_of_reconstructions_are_null_for_real_defects_and_left_out_where_none_are_made(evaluated):
    assert metrics(evaluated)["reconstruction_psnr_normal"] is None
    assert "no synthetic test set" in metrics(evaluated)["reconstruction_reason"]

    fit_patchcore(evaluated)
    evaluate(CONFIG, paths=evaluated)

    assert not any(name.startswith("reconstruction") for name in metrics(evaluated))


def test_a_model_that_kept_its_normal_scores_is_held_to_what_they_promise(paths, caplog):
    detector = Detector.load(paths.model)
    detector.calibrated(0.5, [0.1] * 18 + [0.7], false_alarm_rate=0.01, judged_by_copies=12).save(paths.model)

    evaluate(CONFIG, paths=paths)

    figures = metrics(paths)
    assert (figures["promised_false_alarm_rate"], figures["calibration_images"]) == (0.1, 19)
    assert figures["promised_false_alarm_rate_low"] == 0
    assert (figures["promisable_false_alarm_rate"], figures["asked_false_alarm_rate"]) == (0.05, 0.01)
    needed = figures["photographs_needed"]
    assert (figures["calibration_images_needed"], needed) == (99, 21)
    assert (
        "False alarms: 10.0 % promised from 19 normal images, 12 of them judged by copies of the model that did not "
        "learn from them, which can promise 5.0 % at best: TOO FEW for the 1.0 % asked, which need 99 (about "
        f"{needed} good photographs); on 4 test images"
    ) in paths.page.read_text()
    assert f"which need 99 (about {needed} good photographs)" in caplog.text


def test_a_model_without_them_promises_nothing(evaluated):
    assert metrics(evaluated)["promised_false_alarm_rate"] is None
    assert "no rate of false alarms is promised" in evaluated.page.read_text()


def test_two_evaluations_write_the_same_bytes(evaluated):
    folder = evaluated.metrics.parent

    def written():
        return {file.relative_to(folder): file.read_bytes() for file in folder.rglob("*") if file.is_file()}

    before = written()
    evaluate(CONFIG, paths=evaluated)

    assert evaluated.page.relative_to(folder) in before
    assert written() == before


def test_without_masks_pixel_figures_come_from_synthetic_defects_under_their_own_name(paths):
    common = {"split": "test", "defect": "", "mask": None}
    rows = [common | {"path": f"test/{i}.png", "label": int(i > 3)} for i in range(8)]
    write(paths, rows)
    paths.synthetic.mkdir(parents=True)
    masks = np.zeros((3, *SIZE), np.uint8)
    masks[:, 4:9, 4:9] = 1
    names = [f"test/{i}.png" for i in range(3)]
    np.savez(paths.synthetic / "test.npz", images=np.zeros((3, *SIZE, 3), np.uint8), masks=masks, paths=names)

    evaluate(CONFIG, paths=paths)

    figures = metrics(paths)
    assert figures["pixel_pro"] is None
    assert "synthetic_" in figures["pixel_reason"]
    assert 0 <= figures["synthetic_pixel_pro"] <= 1
    assert figures["synthetic_test_masks"] == 3
    assert all(figures[f"reconstruction_psnr_{where}"] > 0 for where in ("normal", "anomalous"))


def test_a_model_of_another_manifest_is_refused_and_the_last_figures_stay(evaluated):
    before = evaluated.metrics.read_bytes()
    write_manifest(pd.read_parquet(evaluated.manifest).assign(defect="scratch"), evaluated.manifest, {})

    with pytest.raises(ValueError, match=r"models/toys/noise: trained on another version of .*manifest.parquet"):
        evaluate(CONFIG, paths=evaluated)

    assert evaluated.metrics.read_bytes() == before


def test_an_empty_test_split_is_refused(paths):
    write(paths, [{"path": "test/0.png", "split": "train", "label": 0, "defect": "good", "mask": None}])

    with pytest.raises(ValueError, match="no image in split `test`"):
        evaluate(CONFIG, paths=paths)


def test_every_test_image_is_predicted_once(paths, monkeypatch):
    seen = []
    predict = Detector.predict

    def counted(self, images, **options):
        seen.extend(images)
        return predict(self, images, **options)

    monkeypatch.setattr(Detector, "predict", counted)

    evaluate(CONFIG, paths=paths)

    assert sorted(file.name for file in seen) == [f"{index}.png" for index in range(8)]


def test_the_gallery_holds_what_is_drawn_and_little_else(paths, monkeypatch):
    monkeypatch.setattr("stages.evaluate.stage.BATCH", 1)
    kept, add = [], Gallery.add

    def watched(self, prediction):
        add(self, prediction)
        kept.append(len(self._kept))

    monkeypatch.setattr(Gallery, "add", watched)

    evaluate(CONFIG.model_copy(update={"pictures": 1}), paths=paths)

    assert len(kept) == 8
    assert max(kept) <= 4
    assert {file.stem for file in paths.pictures.iterdir()} == {"best", "missed", "false_alarms", "borderline"}


def test_what_rounding_the_maps_may_have_cost_is_told(evaluated):
    assert 0 <= metrics(evaluated)["pixel_rounding"] < 0.1


def test_the_benchmark_keeps_what_depends_on_the_machine_apart(paths):
    effort = Effort(threads=(1,), rounds=2, warmup=0, long_rounds=1, memory=True)
    config = BenchmarkConfig(batch_sizes=(1, 2), stage=effort, bench=effort)

    benchmark(config, paths=paths)

    cost = json.loads(paths.benchmark.read_bytes())["gmac_per_image"]
    detector = Detector.load(paths.model)
    again = count_gmac(detector, read_test_images(detector, 1, paths))
    assert cost == {name: round(value, 4) for name, value in again.items()}
    assert set(cost) == {"one_step", "norm_guided", "ddim", "iterative"}
    assert cost["one_step"] < cost["norm_guided"] < cost["iterative"]
    latency = json.loads(paths.latency.read_text())
    assert latency["calibration"][0]["gemm_gflops"] > 0
    assert latency["calibration"][0]["copy_gib_per_s"] > 0
    assert (
        set(latency["predict"]["norm_guided"]) == {"torch-fp32", "onnx-fp32", "openvino-fp32"} == set(latency["memory"])
    )
    assert set(latency["predict"]["norm_guided"]["onnx-fp32"]) == {"batch_1_threads_1", "batch_2_threads_1"}
    assert {name: set(cases) for name, cases in latency["predict"]["iterative"].items()} == {
        "torch-fp32": {"batch_1_threads_1"}
    }
    assert all(one["peak_memory_mib"] > 50 for one in latency["memory"].values())
    table = pd.read_csv(paths.latency_table)
    assert len(table) == len(set(table["name"])) == 3 * 2 + 1 + 2 * 2
    assert ((table["share_of_peak"] > 0) & (table["ms_p50"] <= table["ms_p95"])).all()
    with Image.open(paths.latency_figure) as figure:
        assert figure.width == 840


def test_a_walk_is_timed_by_torch_alone(paths):
    effort = Effort(threads=(1,), rounds=1, warmup=0, long_rounds=0, memory=False)
    file = paths.model / "model.json"
    file.write_text(file.read_text().replace('"mode": "norm_guided"', '"mode": "ddim"'))

    benchmark(BenchmarkConfig(batch_sizes=(1,), stage=effort, bench=effort), paths=paths)

    latency = json.loads(paths.latency.read_text())
    assert {name for runtimes in latency["predict"].values() for name in runtimes} == {"torch-fp32"}
    assert latency["memory"] == {}
