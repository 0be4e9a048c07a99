"""dvc.yaml, params.yaml, paths.py and the code name the same sections, files and modules."""

import ast
from pathlib import Path

import grimp
import pytest
from ruamel.yaml import YAML

from stages.paths import CategoryPaths
from stages.train.settings import read_model_config

ROOT = Path(__file__).parents[2]
STAGES = {name: entry["do"] for name, entry in YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"].items()}
# No stage of its own, but the eyes of `download`: it runs always, whatever it depends on.
WATCH = STAGES.pop("watch")
# Without its cache, which may remember a module that has gone.
GRAPH = grimp.build_graph("diffusionad", "stages", exclude_type_checking_imports=True, cache_dir=None)

# No deps: they hand on what dvc.yaml tracks by value (params) or by content (files), and decide nothing.
PLUMBING = {
    "stages",
    "stages.command",
    "stages.common.schemas",
    "stages.earlier",
    "stages.files",
    "stages.params",
    "stages.paths",
    "diffusionad",
    "diffusionad.section",
}
DETECTORS = ROOT / "diffusionad" / "detectors"
KINDS = sorted(file.parent.name for file in DETECTORS.glob("*/model.py"))
BY_KIND = "${item.detector}"
"""What stands in dvc.yaml for the kind that a category names."""
RUN_DETECTORS = ("train", "evaluate", "benchmark")
MOST_DEPS = 66
MOST_FILES = 15
ROOMS = ("diffusionad", "stages", "pipelines", "infra")
GROWING = ("diffusionad/detectors", "stages/download/layouts", "stages/download/recipes")
"""Folders with a file for each thing of its kind that is known."""
SETTINGS = f"params/detectors/{BY_KIND}.yaml"
# `command` reads the category of its key for every stage.
CATEGORIES = "categories"
IMAGE = "image"
# Measured times belong to a machine and a day, and must never come out of a cache; exports to where they run.
NOT_TRACKED = {"claims", "exports", "latency", "latency_figure", "latency_table"}


def names(stage, *parts):
    """The entries of a stage without their options."""
    entries = [entry for part in parts for entry in STAGES[stage].get(part, ())]
    return {next(iter(entry)) if isinstance(entry, dict) else entry for entry in entries}


def deps_for(stage, kind):
    """Places of the deps of a stage, for a category whose detector is of a kind."""
    return [ROOT / name.replace(BY_KIND, kind) for name in names(stage, "deps")]


def is_code(name):
    return name.startswith(("diffusionad", "stages"))


def section(argument):
    """The section that a call of read_section names: a text, or an f-string that starts with it."""
    text = argument.values[0].value if isinstance(argument, ast.JoinedStr) else argument.value
    return text.split(".")[0]


def calls(files, function):
    """The calls of a function in Python files, by its name."""
    return [
        call
        for file in files
        if file.suffix == ".py"
        for call in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call) and getattr(call.func, "id", None) == function
    ]


def sections_read_by(files):
    named = {section(call.args[1]) for call in calls(files, "read_section")}
    return named | ({IMAGE} if calls(files, "read_image_size") else set())


def file_of(module):
    """Where a module stands; None for a folder whose __init__.py is a door plate."""
    path = ROOT / module.replace(".", "/")
    if not path.is_dir():
        return path.with_suffix(".py")
    door = path / "__init__.py"
    return door if len(ast.parse(door.read_text(encoding="utf-8")).body) > 1 else None


def files_run_by(stage, kind):
    """Files that a stage runs; a detector is imported by its name, which no import statement shows."""
    roots = {f"stages.{stage}.stage"}
    if stage in RUN_DETECTORS:
        roots.add(f"diffusionad.detectors.{kind}.model")
    modules = roots.union(*map(GRAPH.find_upstream_modules, roots))
    if stage not in RUN_DETECTORS:
        modules.discard("diffusionad.detectors")  # `command` asks which kinds there are, and nothing else
    files = {file for module in modules - PLUMBING if (file := file_of(module)) is not None}
    return files | {companion for file in files for companion in companions_of(file)}


def files_run_for_any_kind(stage):
    return set().union(*(files_run_by(stage, kind) for kind in KINDS))


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


def test_there_are_six_stages_and_a_look_that_always_runs_and_keeps_what_it_saw():
    assert list(STAGES) == ["download", "foreground", "synthesize", "train", "evaluate", "benchmark"]
    assert WATCH["cmd"].endswith("python -m stages.download.watch ${key}")
    assert WATCH["always_changed"]
    assert [options for (out,) in map(dict.values, WATCH["outs"]) for options in out] == ["persist"]


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_lists_the_sections_it_reads(stage):
    """DVC does not rerun a stage for a section that it does not list."""
    listed = {name.split(".")[0] for name in names(stage, "params") - {SETTINGS}}

    assert listed == sections_read_by(files_run_for_any_kind(stage)) | {CATEGORIES}


@pytest.mark.parametrize("stage", STAGES)
def test_no_stage_passes_over_the_size_that_a_category_may_have_of_its_own(stage):
    direct = calls(files_run_for_any_kind(stage), "read_section")

    assert IMAGE not in {section(call.args[1]) for call in direct}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_that_reads_the_settings_of_a_detector_lists_their_file_as_a_whole(stage):
    entries = [entry for entry in STAGES[stage]["params"] if isinstance(entry, dict)]

    assert entries == ([{SETTINGS: None}] if calls(files_run_for_any_kind(stage), "read_settings") else [])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_lists_the_code_it_runs(stage, kind):
    """Every module of ours that a stage imports, however far down, lies under one of its deps."""
    deps = deps_for(stage, kind)

    missing = {file for file in files_run_by(stage, kind) if not any(is_under(file, dep) for dep in deps)}

    assert {str(file.relative_to(ROOT)) for file in missing} == set()


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_lists_no_code_it_does_not_run(stage):
    """A dep too many reruns hours of training for nothing."""
    run = files_run_for_any_kind(stage)
    code = [name for name in names(stage, "deps") if is_code(name) and (ROOT / name).is_file()]

    assert [name for name in code if ROOT / name not in run] == []


@pytest.mark.parametrize("stage", STAGES)
def test_a_folder_is_listed_only_where_most_of_it_is_run(stage):
    """Where a stage runs a few modules of a room, each stands for itself: an edit beside them is not its concern."""
    run = files_run_for_any_kind(stage)
    code = {dep for kind in KINDS for dep in deps_for(stage, kind) if is_code(str(dep.relative_to(ROOT)))}

    shares = {dep: len(modules_under(dep) & run) / len(modules_under(dep)) for dep in code if dep.is_dir()}

    assert {str(dep): share for dep, share in shares.items() if share < 0.75} == {}


@pytest.mark.parametrize("stage", STAGES)
def test_only_a_stage_that_runs_detectors_has_their_code_among_its_deps(stage):
    assert (f"diffusionad/detectors/{BY_KIND}" in names(stage, "deps")) == (stage in RUN_DETECTORS)


def test_what_is_listed_exists():
    listed = {dep for stage in STAGES for kind in KINDS for dep in deps_for(stage, kind)}

    assert [dep for dep in listed if is_code(str(dep.relative_to(ROOT))) and not dep.exists()] == []


def test_there_are_few_enough_deps_on_code_to_be_read():
    assert sum(is_code(name) for stage in STAGES for name in names(stage, "deps")) <= MOST_DEPS


def test_no_folder_of_code_holds_more_files_than_a_person_takes_in():
    folders = {file.parent for room in ROOMS for file in (ROOT / room).rglob("*.py")}
    counts = {
        str(folder.relative_to(ROOT)): sum(file.is_file() for file in folder.iterdir())
        for folder in folders
        if not any(is_under(folder, ROOT / name) for name in GROWING)
    }

    assert {name: count for name, count in counts.items() if count > MOST_FILES} == {}


def test_every_kind_has_its_settings_and_knows_each_key_of_them():
    files = {file.stem: file for file in (ROOT / "params" / "detectors").iterdir()}
    assert sorted(files) == KINDS

    for kind in KINDS:
        assert read_model_config(kind, ROOT / "params.yaml").kind == kind


def test_every_section_is_read():
    """A section that nobody reads is a setting that does nothing."""
    read = sections_read_by({*(ROOT / "pipelines").rglob("*.py"), *set().union(*map(files_run_for_any_kind, STAGES))})

    assert set(YAML(typ="safe").load(ROOT / "params.yaml")) == read | {CATEGORIES}


def test_the_same_files_stand_in_paths_and_in_dvc_yaml():
    paths = CategoryPaths("${item.dataset}", "${item.category}")
    handed_on = {
        getattr(paths, name).as_posix()
        for name, value in vars(CategoryPaths).items()
        if isinstance(value, property) and not name.startswith("_") and name not in NOT_TRACKED
    }

    listed = set().union(*(names(stage, "deps", "outs", "metrics", "plots") for stage in STAGES), *WATCH["outs"])

    assert {name for name in listed if not is_code(name)} == handed_on


def test_the_only_metrics_are_figures_that_a_person_compares():
    """`dvc metrics show`, `dvc metrics diff` and `dvc exp show` print a column for every key of every metric."""
    metrics = set().union(*(names(stage, "metrics") for stage in STAGES))

    assert metrics == {CategoryPaths("${item.dataset}", "${item.category}").figures.as_posix()}


@pytest.mark.parametrize("stage", STAGES)
def test_what_a_stage_reads_is_made_before_it(stage):
    order = list(STAGES)
    before = order[: order.index(stage)]
    made = set().union(*(names(one, "outs", "metrics", "plots") for one in before), *WATCH["outs"])

    assert {name for name in names(stage, "deps") if not is_code(name)} <= made
