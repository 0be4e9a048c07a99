"""An ablation of drawn plates, through real stages at sizes of seconds."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from ruamel.yaml import YAML

from pipelines.ablation.plan import AblationConfig, plan
from pipelines.ablation.report import METRICS, tabulate, to_markdown, write_report
from pipelines.ablation.run import Ablation, read_settings
from pipelines.cli import main
from stages.tools.settings import lay_over

ROOT = Path(__file__).parents[3]
SCRATCH = Path(".local", "ablation", "plates", "plate")
FEW = {
    "seeds": [0],
    "walks": [],
    "trainings": [],
    "noise_scales": [2],
    "guidance_scales": [2.0],
    "t_s_ranges": [[200, 400]],
    "local_exponents": [1.0],
    "patchcore_size": None,
}


def plates(root):
    """Grey plates in MVTec's layout; the bad ones have a dark hole."""
    rng = np.random.default_rng(0)
    for split, defect, count in (("train", "good", 14), ("test", "good", 4), ("test", "hole", 4)):
        (root / split / defect).mkdir(parents=True)
        for index in range(count):
            pixels = rng.normal(150, 12, (40, 40)).clip(0, 255).astype(np.uint8)
            if defect == "hole":
                mask = np.zeros_like(pixels)
                mask[10 : 20 + index, 8:18] = 255
                pixels[mask > 0] //= 4
                truth = root / "ground_truth" / defect
                truth.mkdir(parents=True, exist_ok=True)
                Image.fromarray(mask).save(truth / f"{index:03}_mask.png")
            Image.fromarray(pixels).save(root / split / defect / f"{index:03}.png")


def change(**values):
    yaml = YAML()
    params = yaml.load(Path("params.yaml"))
    for name, value in values.items():
        section, key = name.split("__")
        params[section][key] = value
    yaml.dump(params, Path("params.yaml"))


def ablate(say=lambda _: None, scratch=SCRATCH):
    return Ablation(read_settings("plates", 4), "plates", "plate", scratch, say).run()


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A folder with params.yaml of the test profile and the plates, in which one ablation has run."""
    root = tmp_path_factory.mktemp("project")
    plates(root / "source" / "plate")
    shutil.copy(ROOT / "params.yaml", root)
    lay_over(ROOT / "params" / "test.yaml", root / "params.yaml")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        change(
            ablation__seeds=[0],
            datasets__plates={
                "layout": "folder",
                "sources": [{"url": str(root / "source"), "sha256": None}],
                "mirror_names": ["plates"],
                "terms": None,
                "licence": "CC0",
                "licence_url": "",
                "non_commercial": False,
                "foreground": "full",
            },
        )
        change(**{f"ablation__{key}": value for key, value in FEW.items()})
        results = ablate()
    return root, results


@pytest.fixture
def here(project, monkeypatch):
    """That folder as the current one, its params.yaml put back at the end."""
    root, _ = project
    before = (root / "params.yaml").read_bytes()
    monkeypatch.chdir(root)
    yield root
    (root / "params.yaml").write_bytes(before)


def by_name(results):
    return {result.row.name: result.figures for result in results}


def test_every_row_of_the_plan_has_its_figures(project):
    root, results = project
    rows = plan(AblationConfig.model_validate_json(json.dumps(FEW)))

    assert [result.row for result in results] == rows
    figures = by_name(results)
    trained = [row.name for row in rows if row.trained != "none"]
    assert all(0 <= figures[name]["pixel_ap_low"] <= figures[name]["pixel_ap"] for name in trained)
    assert {path.name for path in (root / SCRATCH / "trained").iterdir()} == {
        "norm_guided-seed0",
        "autoencoder-seed0",
        "identity-seed0",
    }


def test_controls_without_a_network_know_what_one_number_tells(project):
    figures = by_name(project[1])

    assert figures["none-as-centre"]["image_auroc"] == 0.5
    assert figures["none-as-centre"]["pixel_auroc"] > 0.5  # the holes lie near the middle
    assert figures["none-as-brightness"]["image_auroc"] == 1.0  # they are dark
    assert figures["none-as-picture_size"]["image_auroc"] == 0.5
    assert figures["none-as-brightness"]["pixel_ap"] is None


def test_variants_of_one_training_differ_in_what_they_see(project):
    figures = by_name(project[1])
    ours = [name for name in figures if name.startswith("norm_guided-as-")]

    assert len({figures[name]["pixel_ap"] for name in ours}) > 1
    assert figures["norm_guided-as-identity"]["pixel_ap"] != figures["identity-as-identity"]["pixel_ap"]


def test_what_is_done_is_not_done_again(here, project):
    lines = []

    again = ablate(lines.append)

    assert again == project[1]
    assert all(line.endswith("done before") for line in lines)


def test_a_run_that_was_stopped_goes_on(here, project):
    rows = sorted((here / SCRATCH / "rows").iterdir())
    for file in rows[:2]:
        file.unlink()
    lines = []

    def stop(line):
        lines.append(line)
        if not line.endswith("done before"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ablate(stop)
    again = ablate(lines.append)

    assert again == project[1]
    assert sorted((here / SCRATCH / "rows").iterdir()) == rows
    assert not any("training" in line for line in lines)


def test_a_changed_setting_makes_the_rows_that_it_decides_again(here):
    shutil.copytree(SCRATCH, "copy", symlinks=True)  # what others find done stays done
    change(ablation__guidance_scales=[3.0], evaluation__pictures=1)
    lines = []

    results = ablate(lines.append, Path("copy"))

    assert not any("training" in line for line in lines)
    assert not any(line.endswith("done before") for line in lines)
    assert "norm_guided-as-norm_guided-w3" in by_name(results)


def test_a_noise_scale_beyond_the_last_timestep_is_refused_before_any_work(here):
    change(ablation__noise_scales=[999])
    lines = []

    with pytest.raises(ValueError, match="t_s < t_b < num_timesteps"):
        ablate(lines.append)

    assert lines == []


def test_the_report_has_a_line_a_row_and_one_figure(project, tmp_path):
    table = tabulate(project[1])

    write_report(table, tmp_path / "ablation", "plates/plate")

    stored = pd.read_csv(tmp_path / "ablation" / "table.csv")
    assert list(stored["row"]) == list(table["row"])
    assert (stored["image_auroc_low"] <= stored["image_auroc_high"]).all()
    text = (tmp_path / "ablation" / "table.md").read_text()
    assert "| control | brightness | 1.000 (1.000 to 1.000) | - | - |" in text
    assert (tmp_path / "ablation" / "figure.png").read_bytes().startswith(b"\x89PNG")


def test_the_command_prints_the_table_and_says_where_it_lies(here, capsys):
    with pytest.raises(SystemExit) as left:
        main(["ablate", "--dataset", "plates", "--category", "plate", "--steps", "4"])

    assert left.value.code == 0
    assert "| control | segmentation alone |" in capsys.readouterr().out
    assert (here / "reports" / "plates" / "plate" / "ablation" / "figure.png").is_file()


def test_the_command_names_a_data_set_that_params_does_not_have(here, capsys):
    with pytest.raises(SystemExit) as left:
        main(["ablate", "--dataset", "nothing"])

    assert left.value.code == 1
    assert capsys.readouterr().err.startswith("error: params.yaml: no `nothing` in `datasets`; it holds ")


def test_the_command_refuses_a_checkpoint_that_is_not_there(here, capsys):
    with pytest.raises(SystemExit) as left:
        main(["import-reference", "params-last.pt", "models/imported"])

    assert left.value.code == 1
    assert capsys.readouterr().err.startswith("error: params-last.pt: not found")


def test_several_seeds_are_one_line_with_their_mean_and_spread(project):
    first = project[1][0]
    second = first._replace(seed=1, figures=first.figures | {"image_auroc": first.figures["image_auroc"] + 0.2})

    line = tabulate([first, second]).iloc[0]

    assert line["seeds"] == 2
    assert line["image_auroc"] == pytest.approx(first.figures["image_auroc"] + 0.1)
    assert line["image_auroc_sd"] == pytest.approx(0.2 / np.sqrt(2))
    assert "± 0.141" in to_markdown(tabulate([first, second]), "two seeds")


def test_figures_on_synthetic_defects_are_told_apart(project):
    first = project[1][0]
    figures = {f"synthetic_{key}" if key.startswith("pixel") else key: value for key, value in first.figures.items()}

    line = tabulate([first._replace(figures=figures)]).iloc[0]

    assert line["on"] == "synthetic"
    assert [line[metric] for metric in METRICS] == [first.figures[metric] for metric in METRICS]


def test_one_row_stands_once_though_two_tables_of_the_paper_have_it():
    config = AblationConfig(
        seeds=(0,),
        walks=("ddim",),
        trainings=("one_step",),
        noise_scales=(50,),
        guidance_scales=(0.5,),
        t_s_ranges=((3, 5),),
        local_exponents=(2.0,),
        patchcore_size=(64, 64),
    )

    names = [row.name for row in plan(config)]

    assert len(names) == len(set(names))
    assert {"norm_guided-as-ddim", "one_step-as-norm_guided", "one_step-as-ddim", "patchcore-as-patchcore"} <= {*names}
    assert {"norm_guided-as-one_step-t50", "norm_guided-as-norm_guided-w0.5"} <= {*names}
    assert {"norm_guided-as-norm_guided-t3to5", "norm_guided-as-norm_guided-local2"} <= {*names}
