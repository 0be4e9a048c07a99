"""From registered versions to a verdict: gather the evidence, decide, record the decision, carry it out."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from mlflow import MlflowClient

from diffusionad.data.manifest import manifest_digest, read_manifest
from pipelines.catalogue import Entry
from pipelines.promotion import registry
from pipelines.promotion.comparison import Pair, log_comparison
from pipelines.promotion.decision import Decision
from pipelines.promotion.gates import LINEAGE, ChampionEvidence, GateEvidence, decide
from pipelines.promotion.journal import Event
from pipelines.promotion.judge import score_apart
from pipelines.promotion.settings import PromotionConfig, ScoringConfig, gate_for
from pipelines.tracking.lineage import LICENCE
from pipelines.tracking.track import ARTIFACT, MODEL, download_artifact
from stages.common.schemas import Metrics
from stages.files import read_json

WEIGHTS = "artifacts/{category}/model.safetensors"


class Contest(NamedTuple):
    """A candidate and the champion that it challenges."""

    entry: Entry
    candidate: str
    """Number of the version."""
    champion: str | None
    """Number of the champion; None if the category has none yet."""


class Verdict(NamedTuple):
    """The outcome of a promotion."""

    decision: Decision | None
    """None if there was nothing new."""
    contests: tuple[Contest, ...] = ()
    """The contests that were judged; where there was a champion, a page of the candidate's run compares the two."""
    events: tuple[Event, ...] = ()
    """Changes of champion."""


def promote(client: MlflowClient, entries: Sequence[Entry], rules: PromotionConfig, version: str | None) -> Verdict:
    """Judge a version of each category, and promote all of them or none.

    Args:
        client: Client of the store.
        entries: Categories that are promoted together.
        rules: Section `promotion`.
        version: Number or alias of the version to judge; None for the newest of each category.

    Raises:
        ValueError: If there is no version, an artifact is missing, altered or of another category, or scoring fails.
        StaleChampionError: If another process changed a champion meanwhile.
    """
    contests = tuple(_contest(client, entry, version) for entry in entries)
    if all(_is_same(client, contest) for contest in contests):
        return Verdict(None)
    evidence = {str(c.entry.paths): gather(client, c, rules.scoring) for c in contests}
    gates = {str(paths): gate_for(rules, paths.dataset, paths.category) for paths in (c.entry.paths for c in contests)}
    decision = decide(gates, evidence)
    for contest in contests:
        registry.record_decision(client, contest.entry.model_name, contest.candidate, contest.champion, decision)
    if not decision.promote:
        return Verdict(decision, contests)
    why = f"passed {len(decision.checks)} rules"
    moved = [registry.make_champion(client, c.entry.model_name, c.candidate, why, fetched=True) for c in contests]
    return Verdict(decision, contests, tuple(event for event in moved if event is not None))


def gather(client: MlflowClient, contest: Contest, scoring: ScoringConfig) -> GateEvidence:
    """Collect all the evidence that the gate needs for one category.

    Raises:
        ValueError: Same as `promote`.
    """
    entry, name = contest.entry, contest.entry.model_name
    version = registry.get_version(client, name, contest.candidate)
    with tempfile.TemporaryDirectory() as place:
        folders = {"candidate": registry.fetch_artifact(client, name, contest.candidate, Path(place, "candidate"))}
        if contest.champion is not None:
            folders["champion"] = registry.fetch_artifact(client, name, contest.champion, Path(place, "champion"))
        for folder in folders.values():
            _check_category(entry, folder)
        pictures = Path(place, "page", "report")
        pictures.mkdir(parents=True)
        answer = score_apart(entry, folders, scoring, Path(place), pictures if contest.champion else None)
        if contest.champion is not None:
            log_comparison(client, Pair(entry, contest.champion, contest.candidate), answer, scoring, pictures.parent)
        size = Path(folders["candidate"], WEIGHTS.format(category=entry.paths.category)).stat().st_size
    latency = answer["latency_ms"]
    champion = None
    if contest.champion is not None:
        champion = ChampionEvidence(
            version=contest.champion,
            manifest=answer["manifest"],
            lower_bounds=answer["lower_bounds"],
            latency_ratio=latency["candidate"] / latency["champion"],
            leaked=_leaked(client, entry, contest.champion),
        )
    return GateEvidence(
        version=contest.candidate,
        # `fetch_artifact` has checked the artifact against this tag.
        digest=version.tags[ARTIFACT],
        registered_digest=client.get_run(registry.run_of(version)).data.tags.get(ARTIFACT),
        manifest=manifest_digest(entry.paths.manifest),
        figures=Metrics(answer["figures"]["candidate"]).numbers,
        stated=client.get_run(registry.run_of(version)).data.metrics,
        leaked=_leaked(client, entry, contest.candidate),
        latency_ms=latency["candidate"],
        size_mib=size / 2**20,
        violations=_violations(registry.run_of(version)),
        lineage={key: version.tags.get(key, "") for key in (*LINEAGE, *LICENCE)},
        champion=champion,
    )


def _contest(client: MlflowClient, entry: Entry, version: str | None) -> Contest:
    name = entry.model_name
    number = registry.newest(client, name) if version is None else registry.get_version(client, name, version).version
    return Contest(entry, str(number), registry.champion(client, name))


def _is_same(client: MlflowClient, contest: Contest) -> bool:
    if contest.champion is None:
        return False
    numbers = (contest.candidate, contest.champion)
    digests = [registry.get_version(client, contest.entry.model_name, n).tags.get(MODEL, "") for n in numbers]
    return bool(digests[0]) and digests[0] == digests[1]


def _check_category(entry: Entry, folder: Path) -> None:
    found = sorted(folder.glob("artifacts/*/model.json"))
    config = read_json(found[0]) if found else {}
    there = (config.get("dataset"), config.get("category"))
    if there != (entry.paths.dataset, entry.paths.category):
        raise ValueError(f"{entry.model_name}: the artifact is a model of {there[0]}/{there[1]}, not of this category")


def _leaked(client: MlflowClient, entry: Entry, version: str) -> int | None:
    """Count the current test images that the version was trained or validated on; None if that is unknown."""
    run_id = registry.run_of(registry.get_version(client, entry.model_name, version))
    with tempfile.TemporaryDirectory() as place:
        file = download_artifact(run_id, f"data/{entry.paths.manifest.name}", place)
        if file is None:
            return None
        stated = registry.get_version(client, entry.model_name, version).tags.get("manifest")
        if manifest_digest(file) != stated:
            return None
        known = read_manifest(file).query("split != 'test'")
    test = read_manifest(entry.paths.manifest).query("split == 'test'")
    return int(test["sha256"].isin(set(known["sha256"])).sum())


def _violations(run_id: str) -> dict[str, int] | None:
    with tempfile.TemporaryDirectory() as place:
        file = download_artifact(run_id, "data/validation.json", place)
        content = {} if file is None else read_json(file)
    counts = {key: content.get(key) for key in ("failed", "warned")}
    return {key: int(value) for key, value in counts.items() if value is not None} or None
