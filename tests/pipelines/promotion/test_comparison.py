"""Two versions of the toy category, compared by the command and by the gate."""

import json
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest

from pipelines.promotion.promote import promote
from pipelines.promotion.registry import register
from pipelines.promotion.settings import read_rules
from toys.detectors import TINY_SEGMENTATION

pytestmark = pytest.mark.filterwarnings("ignore:unclosed database:ResourceWarning")  # mlflow leaves SQLite open

TOY = ("--dataset", "toy", "--category", "disc")


@pytest.fixture
def versions(client, entry, workshop):
    """Version 1 with seed 0, version 2 with seed 1."""
    register(client, entry)
    workshop.write_model(entry.paths.model, seed=1)
    workshop.evaluate_again()
    register(client, entry)


def content_of(page):
    text = page.read_text(encoding="utf-8")
    return json.loads(re.search(r'id="content">(.*?)</script>', text, flags=re.DOTALL)[1])


def test_the_command_writes_a_page_of_both_models_on_the_same_images(versions, entry, run):
    status, text, _ = run("compare", "1", "2", *TOY)

    page = Path("reports/toy/disc/compare-1-2/index.html")
    assert (status, text) == (0, f"toy-disc: {page}\n")
    content = content_of(page)
    assert [model["title"] for model in content["models"]] == ["version 1", "version 2"]
    scores = np.asarray([image["scores"] for image in content["images"]])
    own = content_of(entry.paths.page)
    np.testing.assert_allclose(scores[:, 1], [image["scores"][0] for image in own["images"]], rtol=1e-6)
    assert not np.allclose(scores[:, 0], scores[:, 1])
    pictures = {file.name for file in (page.parent / content["folder"]).iterdir()}
    assert {f"00011-{model}-{kind}.webp" for model in (0, 1) for kind in ("reconstruction", "map", "heat")} <= pictures
    assert {"00011-photograph.webp", "plotly.min.js", "page.js", "charts.js"} <= pictures
    assert len([name for name in pictures if name.endswith("outline.webp")]) == 6
    assert "Is one of them better?" in page.read_text(encoding="utf-8")


def test_a_version_without_reconstructions_is_compared_with_one_that_makes_them(client, entry, workshop, run):
    register(client, entry)
    workshop.write_model(entry.paths.model, seed=1, settings=TINY_SEGMENTATION)
    workshop.evaluate_again()
    register(client, entry)

    status, _, line = run("compare", "1", "2", *TOY)

    assert (status, line) == (0, "")
    page = Path("reports/toy/disc/compare-1-2/index.html")
    content = content_of(page)
    assert [model["reconstructs"] for model in content["models"]] == [True, False]
    pictures = {file.name for file in (page.parent / content["folder"]).glob("00011-*-*.webp")}
    assert pictures == {
        "00011-0-reconstruction.webp",
        *(f"00011-{model}-{kind}.webp" for model in (0, 1) for kind in ("map", "heat")),
    }


def test_a_version_that_does_not_exist_is_one_line_and_leaves_no_page(versions, run):
    status, _, line = run("compare", "1", "9", *TOY, "--out", "out")

    assert status == 1
    assert line.startswith("error: toy-disc: no version or alias `9`; versions: 1, 2")
    assert not Path("out").exists()


def test_the_gate_logs_the_page_of_candidate_and_champion_to_the_run_of_the_candidate(
    versions, client, entry, tmp_path, run
):
    run("promote", *TOY, "--version", "1", "--override", "--why", "the first one")
    rules = read_rules()
    scoring = rules.scoring.model_copy(update={"resamples": 20, "race_rounds": 3, "race_warmup": 1})

    promote(client, [entry], rules.model_copy(update={"scoring": scoring}), "2")

    run_id = client.get_model_version("toy-disc", "2").run_id
    place = Path(client.download_artifacts(run_id, "compare/1-2", str(tmp_path)))
    assert [model["title"] for model in content_of(place / "index.html")["models"]] == ["version 1", "version 2"]
    with zipfile.ZipFile(place / "page.zip") as packed:
        assert {"index.html", "report/page.js", "report/00000-1-map.webp"} <= set(packed.namelist())


def test_the_page_of_a_category_goes_to_its_run(client, entry, run, tmp_path):
    run("track", *TOY)

    run_id = client.search_runs(client.get_experiment_by_name("toy").experiment_id)[0].info.run_id
    place = Path(client.download_artifacts(run_id, "report", str(tmp_path)))

    assert (place / "index.html").read_bytes() == entry.paths.page.read_bytes()
    with zipfile.ZipFile(place / "page.zip") as packed:
        assert "report/00000-photograph.webp" in packed.namelist()
