"""The command `diffusionad`.

Exit status: 0 done, 1 an error (one line on stderr), 2 a wrong command line, 3 the gate refused.
"""

import argparse
import logging
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TextIO

import sqlalchemy.exc
from filelock import Timeout
from mlflow.exceptions import MlflowException
from ruamel.yaml import YAML

from pipelines import registry
from pipelines.catalogue import Entry, find
from pipelines.comparison import Pair, compare
from pipelines.decision import Decision
from pipelines.journal import aliases, read_events
from pipelines.launcher import launch_flow, launch_schedules
from pipelines.prediction import predict_folder
from pipelines.promotion import promote
from pipelines.reproduce import reproduce
from pipelines.rules import read_rules
from pipelines.store import connect
from pipelines.tracking import track

REFUSED = 3
ERRORS = (ValueError, OSError, FloatingPointError, MlflowException, sqlalchemy.exc.SQLAlchemyError, Timeout)
"""What a user or a server can cause."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; leave with its status."""
    options = _parser().parse_args(arguments)
    # It logs pages of what it also raises, which is told below in a line.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        status = command(options)
    except ERRORS as error:
        # What a database says ends in the statement, of no use to a reader.
        line = " ".join(str(error).split()).split(" [SQL:")[0]
        _say(f"error: {line[:1000] or type(error).__name__}", file=sys.stderr)
        status = 1
    sys.exit(status)


def _track(options: argparse.Namespace) -> int:
    client, status = connect(), 0
    for entry in _entries(options):
        try:
            _say(f"{entry.model_name}: run {track(client, entry)}")
        except ValueError as error:
            # What one category lacks keeps no other from being logged.
            _say(f"error: {entry.model_name}: {error}", file=sys.stderr)
            status = 1
    return status


def _register(options: argparse.Namespace) -> int:
    client = connect()
    for entry in _entries(options):
        version, is_new = registry.register(client, entry)
        _say(f"{entry.model_name}: version {version}{'' if is_new else ', as before: nothing new'}")
    return 0


def _promote(options: argparse.Namespace) -> int:
    client, entries = connect(), _entries(options)
    if options.override:
        for entry in entries:
            number = options.version or registry.newest(client, entry.model_name)
            event = registry.promote(client, entry.model_name, number, options.why, override=True)
            _say(f"{entry.model_name}: {f'champion is version {number}, by override' if event else 'nothing new'}")
        return 0
    verdict = promote(client, entries, read_rules(), options.version)
    if verdict.decision is None:
        _say("nothing new: every model is its champion's, byte for byte")
        return 0
    _say(verdict.decision.to_table())
    for entry in entries:
        current = aliases(client, entry.model_name).get("champion", "none")
        _say(f"{entry.model_name}: champion is version {current}")
    return 0 if verdict.decision.promote else REFUSED


def _rollback(options: argparse.Namespace) -> int:
    client = connect()
    for entry in _entries(options):
        event = registry.rollback(client, entry.model_name, options.to, options.why, force=options.force)
        _say(f"{entry.model_name}: champion is version {event.version}, was {event.before}")
    return 0


def _history(options: argparse.Namespace) -> int:
    client = connect()
    for entry in _entries(options):
        _say(f"{entry.model_name}")
        for event in read_events(client, entry.model_name):
            auroc = event.figures.get("image_auroc")
            figure = "" if auroc is None else f"  image_auroc {auroc:.3f}"
            change = f"{event.before or 'none'} -> {event.version}"
            _say(f"  {event.at}  {event.kind:<9}  {change:<12}  by {event.by}{figure}  {event.why}")
    return 0


def _explain(options: argparse.Namespace) -> int:
    client = connect()
    for entry in _entries(options):
        version = registry.get_version(client, entry.model_name, options.version)
        tags = dict(version.tags)
        decision = tags.pop(registry.DECISION, None)
        _say(f"{entry.model_name} version {version.version}, run {version.run_id}")
        for name in sorted(tags):
            _say(f"  {name:<16} {tags[name]}")
        _say(Decision.from_json(decision).to_table() if decision else "not judged yet")
    return 0


def _compare(options: argparse.Namespace) -> int:
    client = connect()
    for entry in _entries(options):
        numbers = (registry.get_version(client, entry.model_name, v).version for v in (options.before, options.after))
        pair = Pair(entry, *map(str, numbers))
        folder = options.out or entry.paths.page.with_name(f"compare-{pair.before}-{pair.after}")
        _say(f"{entry.model_name}: {compare(client, pair, read_rules().scoring, folder)}")
    return 0


def _predict(options: argparse.Namespace) -> int:
    connect()
    table = predict_folder(options.model, options.folder, options.out)
    failed = table[table["error"].notna()]
    for row in failed.itertuples():
        _say(f"error: {row.path}: {row.error}", file=sys.stderr)
    scored = table[table["error"].isna()]
    _say(f"{len(scored)} images, {int(scored['label'].sum())} anomalous: {options.out / 'predictions.csv'}")
    return 1 if len(failed) else 0


def _reproduce(options: argparse.Namespace) -> int:
    client, (entry,) = connect(), _entries(options)
    folder = options.out or Path(tempfile.mkdtemp(prefix=f"{entry.model_name}-"))
    made = reproduce(client, entry.model_name, options.version, folder, Path.cwd())
    _say(f"{entry.model_name} version {made.version}: registered {made.registered[:16]}, made again {made.again[:16]}")
    _say("the same bytes" if made.is_same else f"NOT the same bytes; see {folder}")
    return 0 if made.is_same else 1


def _ablate(options: argparse.Namespace) -> int:
    # Here, not above: these import torch, which takes seconds that no other command needs.
    from pipelines.ablation_report import tabulate, to_markdown, write_report  # noqa: PLC0415
    from pipelines.ablation_run import Ablation, read_settings  # noqa: PLC0415

    dataset, category = options.dataset, options.category or options.dataset
    known = [entry.paths.category for entry in find(None, None) if entry.paths.dataset == dataset]
    if options.category is None and known:
        category = known[0]
    settings = read_settings(dataset, options.steps)
    scratch = Path(".local", "ablation", dataset, category)
    table = tabulate(Ablation(settings, dataset, category, scratch, _say).run())
    folder = Path("reports", dataset, category, "ablation")
    title = f"{dataset}/{category}, {settings.training.steps} steps"
    write_report(table, folder, title)
    _say(to_markdown(table, title))
    _say(f"{folder / 'table.csv'}, {folder / 'table.md'}, {folder / 'figure.png'}")
    return 0


def _import_reference(options: argparse.Namespace) -> int:
    from stages.import_reference import import_reference  # noqa: PLC0415  # as above

    config = import_reference(options.checkpoint, options.folder)
    _say(f"{options.folder}: {config.category}, {config.image_size[0]} x {config.image_size[1]} px")
    return 0


def _run(options: argparse.Namespace) -> int:
    _entries(options)
    return launch_flow("training", {"dataset": options.dataset, "category": options.category})


def _retrain(options: argparse.Namespace) -> int:
    _entries(options)
    names = ("dataset", "category", "force", "commit", "publish")
    return launch_flow("retraining", {name: getattr(options, name) for name in names})


def _score(options: argparse.Namespace) -> int:
    (entry,) = _entries(options)
    out = str(options.out) if options.out else None
    return launch_flow("scoring", {**entry.paths._asdict(), "source": options.source, "out": out})


def _sweep(options: argparse.Namespace) -> int:
    _entries(options)
    settings = dict(_values(text) for text in options.set)
    return launch_flow(
        "sweep",
        {"dataset": options.dataset, "category": options.category, "seeds": options.seeds, "settings": settings},
    )


def _values(text: str) -> tuple[str, list[Any]]:
    """Read `training.steps=300,600`; the values as YAML reads them."""
    name, equals, values = text.partition("=")
    if not equals:
        raise ValueError(f"--set {text}: expected SETTING=VALUE,VALUE")
    return name, YAML(typ="safe").load(f"[{values}]")


def _serve(_: argparse.Namespace) -> int:
    return launch_schedules()


def _entries(options: argparse.Namespace) -> list[Entry]:
    if getattr(options, "all", False):
        return find(None, None)
    if options.dataset is None:
        raise ValueError("which data set? say --dataset, and --category for one of its categories")
    return find(options.dataset, options.category)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="diffusionad", description=(__doc__ or "").replace("`", ""))
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, command: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=text, description=text)
        made.set_defaults(command=command)
        return made

    def add_for_category(name: str, command: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        made = add(name, command, text)
        made.add_argument("--dataset", help="of params.yaml")
        made.add_argument("--category", help="one category; all of the data set without it")
        return made

    tracker = add_for_category("track", _track, "log results as MLflow runs; what is logged already stays as it is")
    tracker.add_argument("--all", action="store_true", help="every category of params.yaml")
    registrar = add_for_category("register", _register, "log results and make them versions of registered models")
    registrar.add_argument("--all", action="store_true", help="every category of params.yaml")
    promoter = add_for_category("promote", _promote, "judge the newest version; move alias champion if it passes")
    promoter.add_argument("--version", help="number or alias; the newest without it")
    promoter.add_argument("--override", action="store_true", help="promote without a passing decision; needs --why")
    promoter.add_argument("--why", default="", help="reason, for the history")
    roller = add_for_category("rollback", _rollback, "make an earlier champion champion again")
    roller.add_argument("--to", help="version; the one before without it")
    roller.add_argument("--force", action="store_true", help="a version that was never champion; needs --why")
    roller.add_argument("--why", default="", help="reason, for the history")
    add_for_category("history", _history, "list who made what champion, when and why")
    explainer = add_for_category("explain", _explain, "show the lineage and the decision of a version")
    explainer.add_argument("version", metavar="VERSION", help="number or alias")
    comparer = add_for_category("compare", _compare, "write a page of what changes from one version to another")
    comparer.add_argument("before", metavar="BEFORE", help="number or alias, such as champion")
    comparer.add_argument("after", metavar="AFTER", help="number or alias")
    comparer.add_argument("--out", type=Path, help="folder for the page, replaced; one beside reports without it")
    predictor = add("predict", _predict, "score a folder of photographs")
    predictor.add_argument("--model", required=True, help="models:/NAME@champion, models:/NAME/3 or a path")
    predictor.add_argument("folder", type=Path, metavar="FOLDER")
    predictor.add_argument("--out", type=Path, required=True, help="folder for the table and the pictures")
    _add_flows(add_for_category)
    add("serve", _serve, "serve the flows, with the schedules of params.yaml, until stopped")
    again = add_for_category("reproduce", _reproduce, "make a version again from its commit and data, and compare")
    again.add_argument("version", metavar="VERSION", help="number or alias")
    again.add_argument("--out", type=Path, help="new folder to work in; a temporary one without it")
    ablator = add("ablate", _ablate, "compare denoising paradigms, controls and the rival; a stopped run goes on")
    ablator.add_argument("--dataset", required=True, help="of params.yaml")
    ablator.add_argument("--category", help="the one that params.yaml trains, or the data set's name, without it")
    ablator.add_argument("--steps", type=int, help="of each training, in place of params.yaml's")
    importer = add("import-reference", _import_reference, "make a model of a checkpoint of the authors' code")
    importer.add_argument("checkpoint", type=Path, metavar="CHECKPOINT", help="params-last.pt or params-best.pt")
    importer.add_argument("folder", type=Path, metavar="FOLDER", help="where the model goes")
    return parser


def _add_flows(add_for_category: Callable[..., argparse.ArgumentParser]) -> None:
    add_for_category("run", _run, "run the flow `training`: stages, run, version, gate, champion or report")
    retrainer = add_for_category("retrain", _retrain, "train again in a worktree, if data, code or settings changed")
    retrainer.add_argument("--force", action="store_true", help="look at the data again though nothing seems changed")
    retrainer.add_argument("--commit", action="store_true", help="commit dvc.lock on a branch retraining/...")
    retrainer.add_argument("--publish", action="store_true", help="and push that branch to origin")
    scorer = add_for_category("score", _score, "score the images that the champion has not scored yet, as Parquet")
    scorer.add_argument("source", metavar="SOURCE", help="folder or s3://BUCKET/PREFIX")
    scorer.add_argument("--out", type=Path, help="folder; .local/scores/MODEL without it")
    sweeper = add_for_category("sweep", _sweep, "train and evaluate combinations of seeds and settings, side by side")
    sweeper.add_argument("--seeds", type=int, nargs="+", default=[0], metavar="SEED", help="values of training.seed")
    sweeper.add_argument("--set", action="append", default=[], metavar="SETTING=A,B", help="values of another setting")


def _say(text: str, file: TextIO | None = None) -> None:
    print(text, file=file or sys.stdout)


if __name__ == "__main__":
    main()
