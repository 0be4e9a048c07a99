"""The command `diffusionad`.

Exit status: 0 done, 1 an error (one line on stderr), 2 a wrong command line, 3 the gate refused.
"""

import argparse
import functools
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from filelock import Timeout
from ruamel.yaml import YAML

from pipelines.launch.launcher import launch_flow, launch_schedules
from pipelines.options import entries_of, say
from stages.command import leave_at_once
from stages.tools.plugins import add_plugin
from stages.tools.settings import lay_over

COMMAND = Callable[[argparse.Namespace], int]
ERRORS = (ValueError, OSError, FloatingPointError, Timeout)
"""What a user or a server can cause."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; leave with its status."""
    leave_at_once()
    options = _parser().parse_args(arguments)
    command: COMMAND = options.command
    try:
        status = command(options)
    except ERRORS as error:
        line = " ".join(str(error).split())
        say(f"error: {line[:1000] or type(error).__name__}", file=sys.stderr)
        status = 1
    sys.exit(status)


def _run(options: argparse.Namespace) -> int:
    entries_of(options)
    return launch_flow("training", {"dataset": options.dataset, "category": options.category})


def _retrain(options: argparse.Namespace) -> int:
    entries_of(options)
    names = ("dataset", "category", "force", "commit", "publish")
    return launch_flow("retraining", {name: getattr(options, name) for name in names})


def _score(options: argparse.Namespace) -> int:
    (entry,) = entries_of(options)
    out = str(options.out) if options.out else None
    where = {"dataset": entry.paths.dataset, "category": entry.paths.category}
    return launch_flow("scoring", {**where, "source": options.source, "out": out})


def _sweep(options: argparse.Namespace) -> int:
    entries_of(options)
    settings = dict(_values(text) for text in options.set)
    return launch_flow(
        "sweep",
        {"dataset": options.dataset, "category": options.category, "seeds": options.seeds, "settings": settings},
    )


def _values(text: str) -> tuple[str, list[Any]]:
    """Split `training.steps=300,600` into the name and its values, which are read as YAML."""
    name, equals, values = text.partition("=")
    if not equals:
        raise ValueError(f"--set {text}: expected SETTING=VALUE,VALUE")
    return name, YAML(typ="safe").load(f"[{values}]")


def _apply(options: argparse.Namespace) -> int:
    changed = lay_over(options.profile)
    say("\n  ".join([f"params.yaml: {len(changed)} values changed", *changed]))
    return 0


def _add_plugin(options: argparse.Namespace) -> int:
    for file in add_plugin(options.kind):
        say(f"wrote {file}")
    say(f"name it in params.yaml: `detector: {options.kind}` in an entry of `categories`")
    return 0


def _init(options: argparse.Namespace) -> int:
    # Imported here: the readers of layouts load what reads images, which no other command here needs.
    from stages.tools.init import Wish, init  # noqa: PLC0415

    categories = tuple(options.category)
    wish = Wish(options.name, options.layout, categories, options.detector, options.licence, options.licence_url)
    for line in init(options.folder, wish):
        say(line)
    return 0


def _doctor(_: argparse.Namespace) -> int:
    # Imported here: it looks for what may be missing.
    from pipelines.doctor import examine  # noqa: PLC0415

    findings = examine()
    for finding in findings:
        say(finding.to_line())
    return int(any(finding.is_fatal for finding in findings))


def _check(_: argparse.Namespace) -> int:
    # In a process of its own: it loads torch and every detector that a category names.
    return subprocess.run([sys.executable, "-m", "stages.tools.check"], check=False).returncode


def _serve(_: argparse.Namespace) -> int:
    return launch_schedules()


def _stored(name: str, options: argparse.Namespace) -> int:
    # Imported here: it loads MLflow, which takes seconds, and flows load it in processes of their own.
    from pipelines.commands import run  # noqa: PLC0415

    return run(name, options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="diffusionad", description=(__doc__ or "").replace("`", ""))
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, text: str, command: COMMAND | None = None) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=text, description=text)
        made.set_defaults(command=command or functools.partial(_stored, name))
        return made

    def add_for_category(name: str, text: str, command: COMMAND | None = None) -> argparse.ArgumentParser:
        made = add(name, text, command)
        made.add_argument("--dataset", help="a data set of params.yaml")
        made.add_argument("--category", help="one of its categories; all of them without it")
        return made

    tracker = add_for_category("track", "log results as MLflow runs; results that are logged already stay as they are")
    tracker.add_argument("--all", action="store_true", help="every category of params.yaml")
    registrar = add_for_category("register", "log results and make them versions of registered models")
    registrar.add_argument("--all", action="store_true", help="every category of params.yaml")
    _add_arguments_of_promote(add_for_category("promote", "judge the newest version; move alias champion if it passes"))
    roller = add_for_category("rollback", "make an earlier champion champion again")
    roller.add_argument("--to", help="version; the one before without it")
    roller.add_argument("--force", action="store_true", help="take a version that was never champion; needs --why")
    roller.add_argument("--why", default="", help="reason, for the history")
    add_for_category("history", "list who made which version champion, when and why")
    explainer = add_for_category("explain", "show the lineage and the decision of a version")
    explainer.add_argument("version", metavar="VERSION", help="number or alias")
    comparer = add_for_category("compare", "write a page that shows what changes from one version to another")
    comparer.add_argument("before", metavar="BEFORE", help="number or alias, such as champion")
    comparer.add_argument("after", metavar="AFTER", help="number or alias")
    comparer.add_argument(
        "--out", type=Path, help="folder for the page, replaced if it exists; a folder in reports/ without it"
    )
    predictor = add("predict", "score photographs: files, folders, lists of paths (.txt), patterns in quotes")
    predictor.add_argument(
        "--model",
        required=True,
        help="models:/NAME@champion, models:/NAME/3, or a trained folder: models/elpv/mono",
    )
    predictor.add_argument("sources", nargs="+", metavar="SOURCE")
    predictor.add_argument("--out", type=Path, required=True, help="folder for the table and the pictures")
    _add_flows(add_for_category)
    _add_beginnings(add)
    add("serve", "serve the flows, with the schedules of params.yaml, until stopped", _serve)
    _add_arguments_of_export(add("export", "write a model for another runtime, if its output stays the same"))
    again = add_for_category("reproduce", "rebuild a version from its commit and data, and compare the two models")
    again.add_argument("version", metavar="VERSION", help="number or alias")
    again.add_argument("--out", type=Path, help="new folder to work in; a temporary folder without it")
    ablator = add("ablate", "compare the rows of section `ablation`: detectors, modes, controls; a stopped run goes on")
    ablator.add_argument("--dataset", required=True, help="a data set of params.yaml")
    ablator.add_argument("--category", help="without it, the one that params.yaml trains, or the data set's name")
    ablator.add_argument("--steps", type=int, help="steps of each training, instead of those of params.yaml")
    plugin = commands.add_parser(
        "plugin", help="detectors of other packages", description="detectors of other packages"
    )
    add_kind = plugin.add_subparsers(required=True, metavar="ACTION").add_parser(
        "add", help="let DVC track a detector that an installed package brings, and copy its settings"
    )
    add_kind.add_argument("kind", metavar="KIND", help="name of its entry point")
    add_kind.set_defaults(command=_add_plugin)
    settings = commands.add_parser("settings", help="change params.yaml", description="change params.yaml")
    apply = settings.add_subparsers(required=True, metavar="ACTION").add_parser(
        "apply", help="write the values of a profile into params.yaml; comments and other values stay"
    )
    apply.add_argument("profile", type=Path, metavar="PROFILE", help="params/paper.yaml, for example")
    apply.set_defaults(command=_apply)
    _add_arguments_of_import(add("import-reference", "convert a checkpoint of the authors' code into a model"))
    return parser


def _add_beginnings(add: Callable[..., argparse.ArgumentParser]) -> None:
    beginner = add(
        "init", "look at a folder of photographs, say what it holds, and write its entry in params.yaml", _init
    )
    beginner.add_argument("folder", type=Path, metavar="FOLDER", help="folder, or archive, of a data set or a category")
    beginner.add_argument("--name", help="key of the data set; the name of the folder without it")
    beginner.add_argument("--layout", help="how it is laid out (docs/data.md); recognised without it")
    beginner.add_argument("--category", action="append", default=[], help="only this one; may be said several times")
    beginner.add_argument("--detector", help="a kind; that of the first category of params.yaml without it")
    beginner.add_argument("--licence", help="of the photographs; not for commercial use without it")
    beginner.add_argument("--licence-url", default="", help="where the licence stands")
    add("check", "read every setting and build every network of `categories`; name all that is wrong", _check)
    add("doctor", "say what works on this machine, and what to install for the rest", _doctor)


def _add_arguments_of_promote(promoter: argparse.ArgumentParser) -> None:
    promoter.add_argument("--version", help="number or alias; the newest without it")
    promoter.add_argument("--override", action="store_true", help="promote without a passing decision; needs --why")
    promoter.add_argument("--why", default="", help="reason, for the history")


def _add_arguments_of_import(importer: argparse.ArgumentParser) -> None:
    importer.add_argument("checkpoint", type=Path, metavar="CHECKPOINT", help="params-last.pt or params-best.pt")
    importer.add_argument("folder", type=Path, metavar="FOLDER", help="where the model goes")


def _add_arguments_of_export(exporter: argparse.ArgumentParser) -> None:
    exporter.add_argument("--model", type=Path, required=True, help="folder of a trained model: models/elpv/mono")
    exporter.add_argument("--runtime", choices=("onnx", "openvino"), required=True)
    exporter.add_argument("--precision", choices=("fp32", "bf16", "int8"), default="fp32")
    exporter.add_argument("--out", type=Path, help="folder; exports/... for a model in models/... without it")


def _add_flows(add_for_category: Callable[..., argparse.ArgumentParser]) -> None:
    add_for_category("run", "run the flow `training`: stages, run, version, gate, champion or report", _run)
    retrainer = add_for_category("retrain", "train again in a worktree, if data, code or settings changed", _retrain)
    retrainer.add_argument(
        "--force", action="store_true", help="download the data again even if nothing seems to have changed"
    )
    retrainer.add_argument("--commit", action="store_true", help="commit dvc.lock on a branch retraining/...")
    retrainer.add_argument("--publish", action="store_true", help="push that branch to origin as well")
    scorer = add_for_category("score", "score the images that the champion has not scored yet, as Parquet", _score)
    scorer.add_argument("source", metavar="SOURCE", help="folder or s3://BUCKET/PREFIX")
    scorer.add_argument("--out", type=Path, help="folder; .local/scores/MODEL without it")
    sweeper = add_for_category("sweep", "train and evaluate combinations of seeds and settings, side by side", _sweep)
    sweeper.add_argument("--seeds", type=int, nargs="+", default=[0], metavar="SEED", help="values of training.seed")
    sweeper.add_argument("--set", action="append", default=[], metavar="SETTING=A,B", help="values of another setting")


if __name__ == "__main__":
    main()
