"""dvc.yaml, params.yaml, paths.py and the code name the same sections, files and modules."""

import ast
from pathlib import Path

import grimp
import pytest
from ruamel.yaml import YAML

from stages.paths import CategoryPaths

ROOT = Path(__file__).parents[2]
STAGES = {name: entry["do"] for name, entry in YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"].items()}
GRAPH = grimp.build_graph("diffusionad", "stages")

# No deps: they hand on what dvc.yaml tracks by value (params) or by content (files), and decide nothing.
PLUMBING = {
    "stages",
    "stages.command",
    "stages.common.schemas",
    "stages.files",
    "stages.params",
    "stages.paths",
    "diffusionad",
    "diffusionad.section",
}
# `command` reads the category of its key for every stage.
CATEGORIES = "categories"
# Measured times belong to a machine and a day, and must never come out of a cache; exports to where they run.
NOT_TRACKED = {"claims", "exports", "latency", "latency_figure", "latency_table"}


def names(stage, *kinds):
    """The entries of a stage without their options."""
    entries = [entry for kind in kinds for entry in STAGES[stage].get(kind, ())]
    return {next(iter(entry)) if isinstance(entry, dict) else entry for entry in entries}


def is_code(name):
    return name.startswith(("diffusionad", "stages"))


def section(argument):
    """The section that a call of read_section names: a text, or an f-string that starts with it."""
    text = argument.values[0].value if isinstance(argument, ast.JoinedStr) else argument.value
    return text.split(".")[0]


def sections_read_by(files):
    return {
        section(call.args[1])
        for file in files
        if file.suffix == ".py"
        for call in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call) and getattr(call.func, "id", None) == "read_section"
    }


def file_of(module):
    """Where a module stands; None for a folder, whose __init__.py is a door plate."""
    path = ROOT / module.replace(".", "/")
    return None if path.is_dir() else path.with_suffix(".py")


def files_run_by(stage):
    own = f"stages.{stage}.stage"
    modules = {own} | GRAPH.find_upstream_modules(own)
    files = {file for module in modules - PLUMBING if (file := file_of(module)) is not None}
    return files | {companion for file in files for companion in companions_of(file)}


def companions_of(file):
    """Files beside a module that are no modules, as a template, and that it names."""
    text = file.read_text(encoding="utf-8")
    beside = {path for path in file.parent.iterdir() if path.is_file() and path.suffix not in (".py", ".pyc")}
    return {path for path in beside if f'"{path.name}"' in text}


def is_under(file, dep):
    return file == dep or dep in file.parents


def modules_under(dep):
    return {file for file in dep.rglob("*.py") if file.name not in ("__init__.py", "__main__.py")}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_runs_the_module_of_its_name(stage):
    assert STAGES[stage]["cmd"].endswith(f"python -m stages.{stage} ${{key}}")


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_lists_the_sections_it_reads(stage):
    """DVC does not rerun a stage for a section that it does not list."""
    listed = {name.split(".")[0] for name in names(stage, "params")}

    assert listed == sections_read_by(files_run_by(stage)) | {CATEGORIES}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_lists_the_code_it_runs(stage):
    """Every module of ours that a stage imports, however far down, lies under one of its deps."""
    deps = [ROOT / name for name in names(stage, "deps")]

    missing = {file for file in files_run_by(stage) if not any(is_under(file, dep) for dep in deps)}

    assert {str(file.relative_to(ROOT)) for file in missing} == set()


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_lists_no_code_it_does_not_run(stage):
    """A dep too many reruns hours of training for nothing."""
    run = files_run_by(stage)
    code = [name for name in names(stage, "deps") if is_code(name) and (ROOT / name).is_file()]

    assert [name for name in code if ROOT / name not in run] == []


@pytest.mark.parametrize("stage", STAGES)
def test_a_folder_is_listed_only_where_most_of_it_is_run(stage):
    """Where a stage runs a few modules of a room, each stands for itself: an edit beside them is not its concern."""
    run = files_run_by(stage)
    folders = [name for name in names(stage, "deps") if is_code(name) and (ROOT / name).is_dir()]

    shares = {name: len(modules_under(ROOT / name) & run) / len(modules_under(ROOT / name)) for name in folders}

    assert {name: share for name, share in shares.items() if share < 0.75} == {}


def test_what_is_listed_exists():
    listed = set().union(*(names(stage, "deps") for stage in STAGES))

    assert [name for name in listed if is_code(name) and not (ROOT / name).exists()] == []


def test_every_section_is_read():
    """A section that nobody reads is a setting that does nothing."""
    read = sections_read_by({*(ROOT / "pipelines").rglob("*.py"), *set().union(*map(files_run_by, STAGES))})

    assert set(YAML(typ="safe").load(ROOT / "params.yaml")) == read | {CATEGORIES}


def test_the_same_files_stand_in_paths_and_in_dvc_yaml():
    paths = CategoryPaths("${item.dataset}", "${item.category}")
    handed_on = {
        getattr(paths, name).as_posix()
        for name, value in vars(CategoryPaths).items()
        if isinstance(value, property) and not name.startswith("_") and name not in NOT_TRACKED
    }

    listed = set().union(*(names(stage, "deps", "outs", "metrics", "plots") for stage in STAGES))

    assert {name for name in listed if not is_code(name)} == handed_on


def test_the_only_metrics_are_figures_that_a_person_compares():
    """`dvc metrics show`, `dvc metrics diff` and `dvc exp show` print a column for every key of every metric."""
    metrics = set().union(*(names(stage, "metrics") for stage in STAGES))

    assert metrics == {CategoryPaths("${item.dataset}", "${item.category}").figures.as_posix()}


@pytest.mark.parametrize("stage", STAGES)
def test_what_a_stage_reads_is_made_before_it(stage):
    order = list(STAGES)
    made = set().union(*(names(one, "outs", "metrics", "plots") for one in order[: order.index(stage)]))

    assert {name for name in names(stage, "deps") if not is_code(name)} <= made
