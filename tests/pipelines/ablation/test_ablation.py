"""An ablation of drawn plates, through real stages at sizes of seconds."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipelines.ablation.plan import AblationConfig, with_values
from pipelines.ablation.report import METRICS, tabulate, to_markdown, write_report
from pipelines.ablation.run import Ablation, read_settings
from pipelines.cli import main
from stages.tools.settings import copy_settings, lay_over
from toys.datasets import describe_dataset
from toys.params import set_values
from toys.plates import draw_category

ROOT = Path(__file__).parents[3]
SCRATCH = Path(".local", "ablation", "plates", "plate")
ROWS = [
    {"name": "guided", "group": "mode", "detector": "diffusionad"},
    {"name": "autoencoder", "group": "mode", "detector": "autoencoder"},
    {"name": "one step", "group": "mode", "weights_of": "guided", "set": {"mode": "one_step"}},
    {"name": "t = 2", "group": "noise", "weights_of": "guided", "set": {"mode": "one_step", "guidance.t_s": 2}},
    {"name": "w = 2", "group": "guidance", "weights_of": "guided", "set": {"guidance.scale": 2.0}},
    {"name": "by image", "group": "guidance", "weights_of": "guided", "set": {"guidance.t_s_range": [200, 400]}},
    {"name": "by pixel", "group": "guidance", "weights_of": "guided", "set": {"guidance.local.exponent": 1.0}},
    {"name": "segmentation", "group": "control", "detector": "segmentation"},
    {"name": "input twice", "group": "control", "detector": "segmentation", "weights_of": "guided"},
    {"name": "random weights", "group": "control", "weights_of": "guided", "untrained": True},
    {"name": "patches", "group": "other methods", "detector": "patchcore", "image_size": [48, 48]},
]
CONTROLS = ["centre", "brightness", "picture_size"]


def change(**values):
    set_values(Path("params.yaml"), **values)


def ablate(say=lambda _: None, scratch=SCRATCH):
    return Ablation(read_settings("plates", 4), "plates", "plate", scratch, say).run()


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A folder with the settings of the test profile and the plates, in which one ablation has run."""
    root = tmp_path_factory.mktemp("project")
    draw_category(root / "source" / "plate")
    lay_over(ROOT / "params" / "test.yaml", copy_settings(ROOT / "params.yaml", root))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        change(
            ablation={"seeds": [0], "controls": CONTROLS, "rows": ROWS},
            datasets__plates=describe_dataset("plates", root / "source"),
        )
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
    return {result.name: result.figures for result in results}


def test_every_row_of_the_plan_has_its_figures(project):
    root, results = project

    controls = [("control", name.replace("_", " ")) for name in CONTROLS]
    assert [(result.group, result.name) for result in results] == [
        *((row["group"], row["name"]) for row in ROWS),
        *controls,
    ]
    figures = by_name(results)
    assert all(0 <= figures[row["name"]]["pixel_ap_low"] <= figures[row["name"]]["pixel_ap"] for row in ROWS)
    assert {path.name for path in (root / SCRATCH / "trained").iterdir()} == {
        "guided-seed0",
        "autoencoder-seed0",
        "segmentation-seed0",
        "patches-seed0",
    }


def test_controls_without_a_network_know_what_one_number_tells(project):
    figures = by_name(project[1])

    assert figures["centre"]["image_auroc"] == 0.5
    assert figures["centre"]["pixel_auroc"] > 0.5  # the holes lie near the middle
    assert figures["brightness"]["image_auroc"] == 1.0  # they are dark
    assert figures["picture size"]["image_auroc"] == 0.5
    assert figures["brightness"]["pixel_ap"] is None


def test_variants_of_one_training_differ_in_what_they_see(project):
    figures = by_name(project[1])
    ours = ["guided", *(row["name"] for row in ROWS if row.get("weights_of") == "guided" and "set" in row)]

    assert len({figures[name]["pixel_ap"] for name in ours}) > 1
    assert figures["input twice"]["pixel_ap"] != figures["segmentation"]["pixel_ap"]
    assert figures["random weights"]["pixel_ap"] != figures["guided"]["pixel_ap"]


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
    stronger = {"name": "w = 3", "group": "guidance", "weights_of": "guided", "set": {"guidance.scale": 3.0}}
    change(ablation__rows=[*ROWS, stronger], evaluation__pictures=1)
    lines = []

    results = ablate(lines.append, Path("copy"))

    assert not any("training" in line for line in lines)
    assert not any(line.endswith("done before") for line in lines)
    assert "w = 3" in by_name(results)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"set": {"guidance.t_s": 999}}, r"params.yaml: ablation row `late`: .*t_s < t_b < num_timesteps"),
        ({"set": {"guidance.ts": 5}}, r"params.yaml: ablation row `late`: there is no `ts`; expected one of t_s, "),
        ({"set": {"mode": "twice"}}, r"params.yaml: ablation row `late`: .*mode"),
    ],
)
def test_a_row_that_is_no_model_is_refused_before_any_work(here, row, message):
    change(ablation__rows=[*ROWS, {"name": "late", "group": "noise", "weights_of": "guided"} | row])
    lines = []

    with pytest.raises(ValueError, match=message):
        ablate(lines.append)

    assert lines == []


def test_the_rows_that_the_project_ships_are_models(monkeypatch):
    class Begun(Exception):  # noqa: N818  # no error
        pass

    def begin(_):
        raise Begun

    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(Ablation, "_prepare_data", begin)

    with pytest.raises(Begun):
        Ablation(read_settings("elpv", None), "elpv", "mono", SCRATCH, print).run()


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
    assert "| control | segmentation |" in capsys.readouterr().out
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


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ({"name": "First!", "weights_of": "first"}, "two rows are called `First!`"),
        ({"name": "second"}, "row `second` needs `detector`, the kind it trains, or `weights_of`"),
        ({"name": "second", "detector": "diffusionad", "untrained": True}, "row `second` needs `detector`"),
        ({"name": "second", "weights_of": "third"}, "no row above it that is trained is called `third`"),
        ({"name": "second", "weights_of": "second"}, "no row above it that is trained is called `second`"),
    ],
)
def test_rows_that_do_not_fit_together_are_refused(second, message):
    first = {"name": "first", "group": "a", "detector": "diffusionad"}

    with pytest.raises(ValueError, match=message):
        AblationConfig.model_validate({"seeds": (0,), "controls": (), "rows": (first, {"group": "a"} | second)})


def test_a_value_that_leads_nowhere_is_refused():
    with pytest.raises(ValueError, match="there is no `scale`; expected one of t_s"):
        with_values({"guidance": {"t_s": 3}}, {"guidance.scale": 1.0})


def test_members_are_lines_below_their_ensemble(project, tmp_path):
    first = project[1][0]
    members = {"member_a_weight": 0.25, "member_a_image_auroc": 0.75, "without_a_image_auroc": 0.5}
    results = [one._replace(figures=one.figures | members) if one is first else one for one in project[1]]

    table = tabulate(results)
    write_report(table, tmp_path, "plates/plate")

    assert list(table["row"][:4]) == ["guided", "guided: a alone", "guided: without a", "autoencoder"]
    assert list(table["image_auroc"][1:3]) == [0.75, 0.5]
    assert "| mode | guided: a alone | 0.750 | - | - |" in (tmp_path / "table.md").read_text()
    assert (tmp_path / "figure.png").is_file()
