"""Commands on runs, versions and models: the part of the command line that loads MLflow, which takes seconds."""

import argparse
import logging
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import sqlalchemy.exc
from mlflow.exceptions import MlflowException

from pipelines.catalogue import find_categories
from pipelines.options import STATUS_REFUSED, entries_of, say
from pipelines.promotion import registry
from pipelines.promotion.comparison import Pair, compare
from pipelines.promotion.decision import Decision
from pipelines.promotion.journal import aliases, read_events
from pipelines.promotion.promote import promote
from pipelines.promotion.reproduce import reproduce
from pipelines.promotion.settings import read_rules
from pipelines.serving.export import export
from pipelines.serving.prediction import predict
from pipelines.tracking.store import connect
from pipelines.tracking.track import track


def run(name: str, options: argparse.Namespace) -> int:
    """Run a command and return its status.

    Raises:
        ValueError: If a server or a database fails.
    """
    # MLflow logs pages about what it also raises; the error's one line is enough.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    try:
        return COMMANDS[name](options)
    except (MlflowException, sqlalchemy.exc.SQLAlchemyError) as error:
        # SQLAlchemy appends the SQL statement, which does not help a reader.
        raise ValueError(" ".join(str(error).split()).split(" [SQL:")[0] or type(error).__name__) from error


def _track(options: argparse.Namespace) -> int:
    client, status = connect(), 0
    for entry in entries_of(options):
        try:
            say(f"{entry.model_name}: run {track(client, entry)}")
        except ValueError as error:
            # A category without a result must not keep the others from being logged.
            say(f"error: {entry.model_name}: {error}", file=sys.stderr)
            status = 1
    return status


def _register(options: argparse.Namespace) -> int:
    client = connect()
    for entry in entries_of(options):
        version, is_new = registry.register(client, entry)
        say(f"{entry.model_name}: version {version}{'' if is_new else ', as before: nothing new'}")
    return 0


def _promote(options: argparse.Namespace) -> int:
    client, entries = connect(), entries_of(options)
    if options.override:
        for entry in entries:
            number = options.version or registry.newest(client, entry.model_name)
            event = registry.make_champion(client, entry.model_name, number, options.why, override=True)
            say(f"{entry.model_name}: {f'champion is version {number}, by override' if event else 'nothing new'}")
        return 0
    verdict = promote(client, entries, read_rules(), options.version)
    if verdict.decision is None:
        say("nothing new: every model is identical to its champion, byte for byte")
        return 0
    say(verdict.decision.to_table())
    for entry in entries:
        current = aliases(client, entry.model_name).get("champion", "none")
        say(f"{entry.model_name}: champion is version {current}")
    return 0 if verdict.decision.promote else STATUS_REFUSED


def _rollback(options: argparse.Namespace) -> int:
    client = connect()
    for entry in entries_of(options):
        event = registry.rollback(client, entry.model_name, options.to, options.why, force=options.force)
        say(f"{entry.model_name}: champion is version {event.version}, was {event.before}")
    return 0


def _history(options: argparse.Namespace) -> int:
    client = connect()
    for entry in entries_of(options):
        say(f"{entry.model_name}")
        for event in read_events(client, entry.model_name):
            auroc = event.figures.get("image_auroc")
            figure = "" if auroc is None else f"  image_auroc {auroc:.3f}"
            change = f"{event.before or 'none'} -> {event.version}"
            say(f"  {event.at}  {event.kind:<9}  {change:<12}  by {event.by}{figure}  {event.why}")
    return 0


def _explain(options: argparse.Namespace) -> int:
    client = connect()
    for entry in entries_of(options):
        version = registry.get_version(client, entry.model_name, options.version)
        tags = dict(version.tags)
        decision = tags.pop(registry.DECISION, None)
        say(f"{entry.model_name} version {version.version}, run {version.run_id}")
        for name in sorted(tags):
            say(f"  {name:<16} {tags[name]}")
        say(Decision.from_json(decision).to_table() if decision else "not judged yet")
    return 0


def _compare(options: argparse.Namespace) -> int:
    client = connect()
    for entry in entries_of(options):
        numbers = (registry.get_version(client, entry.model_name, v).version for v in (options.before, options.after))
        pair = Pair(entry, *map(str, numbers))
        folder = options.out or entry.paths.page.with_name(f"compare-{pair.before}-{pair.after}")
        say(f"{entry.model_name}: {compare(client, pair, read_rules().scoring, folder)}")
    return 0


def _predict(options: argparse.Namespace) -> int:
    if not Path(options.model).is_dir():
        connect()
    table, passed_over = predict(options.model, options.sources, options.out)
    failed = table[table["error"].notna()]
    for row in failed.itertuples():
        say(f"error: {row.path}: {row.error}", file=sys.stderr)
    for reason, count in passed_over.items():
        say(f"passed over: {count} files, {reason}")
    scored = table[table["error"].isna()]
    say(f"{len(scored)} images, {int(scored['label'].sum())} anomalous: {options.out / 'predictions.csv'}")
    return 1 if len(failed) else 0


def _export(options: argparse.Namespace) -> int:
    say(export(options.model, options.runtime, options.precision, options.out))
    return 0


def _reproduce(options: argparse.Namespace) -> int:
    client, (entry,) = connect(), entries_of(options)
    folder = options.out or Path(tempfile.mkdtemp(prefix=f"{entry.model_name}-"))
    made = reproduce(client, entry.model_name, options.version, folder, Path.cwd())
    say(f"{entry.model_name} version {made.version}: registered {made.registered[:16]}, rebuilt {made.rebuilt[:16]}")
    say("the same bytes" if made.is_same else f"NOT the same bytes; see {folder}")
    return 0 if made.is_same else 1


def _ablate(options: argparse.Namespace) -> int:
    # Imported here: these load torch, which takes seconds and which no other command needs.
    from pipelines.ablation.report import tabulate, to_markdown, write_report  # noqa: PLC0415
    from pipelines.ablation.run import Ablation, read_settings  # noqa: PLC0415

    dataset, category = options.dataset, options.category or options.dataset
    known = [entry.paths.category for entry in find_categories(None, None) if entry.paths.dataset == dataset]
    if options.category is None and known:
        category = known[0]
    settings = read_settings(dataset, options.steps)
    scratch = Path(".local", "ablation", dataset, category)
    table = tabulate(Ablation(settings, dataset, category, scratch, say).run())
    folder = Path("reports", dataset, category, "ablation")
    title = f"{dataset}/{category}, {settings.training.steps} steps"
    write_report(table, folder, title)
    say(to_markdown(table, title))
    say(f"{folder / 'table.csv'}, {folder / 'table.md'}, {folder / 'figure.png'}")
    return 0


def _import_reference(options: argparse.Namespace) -> int:
    from stages.tools.import_reference import import_reference  # noqa: PLC0415  # as above

    config = import_reference(options.checkpoint, options.folder)
    say(f"{options.folder}: {config.category}, {config.image_size[0]} x {config.image_size[1]} px")
    return 0


COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "track": _track,
    "register": _register,
    "promote": _promote,
    "rollback": _rollback,
    "history": _history,
    "explain": _explain,
    "compare": _compare,
    "predict": _predict,
    "export": _export,
    "reproduce": _reproduce,
    "ablate": _ablate,
    "import-reference": _import_reference,
}
