"""What works on this machine, and what to install for the rest: `diffusionad doctor`. It changes and sends nothing."""

import configparser
import importlib.util
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path
from typing import Literal, NamedTuple
from urllib.parse import urlsplit

import boto3

from pipelines.catalogue import Entry, find_categories
from pipelines.repository.git import git
from stages.common.dataset import DatasetConfig
from stages.download import bucket
from stages.download.transfer import Interrupted
from stages.download.watch.places import Place, local_path, package_folder, places_of, read_mirror
from stages.download.watch.versions import ask, files_of
from stages.params import read_section

PACKAGE = "diffusionad-ops"
PYTHON = (3, 11)
WAIT_S = 3
"""Longest wait for a server, s."""
LEAST_GIB, ENOUGH_GIB = 1, 10
"""Free space without which a pipeline cannot run, and with which no data set of params.yaml fills the disk."""
WRITTEN = (".", ".local", "data", "models", "reports")
EXTRAS = {
    "onnx": "export to ONNX Runtime",
    "openvino": "export to OpenVINO, and int8",
    "isnet": "foreground from a network",
    "s3": "DVC remotes on S3",
    "cluster": "sweeps on Dask",
}
ASK_TORCH = "import torch; print(torch.__version__, torch.get_num_threads(), torch.cuda.device_count())"

State = Literal["ok", "note", "missing"]


class Finding(NamedTuple):
    """One thing that was examined."""

    name: str
    state: State
    """`note`: works, or is not needed for `dvc repro`, but should be known; `missing`: `dvc repro` does not run."""
    text: str
    """What was found, and what to do."""

    @property
    def is_fatal(self) -> bool:
        """Whether `dvc repro` cannot run."""
        return self.state == "missing"

    def to_line(self) -> str:
        """Return the finding as one line."""
        return f"{self.state:<8} {self.name:<12} {' '.join(self.text.split())}"


def examine() -> list[Finding]:
    """Examine everything, side by side, in the order of the list."""
    with ThreadPoolExecutor(len(CHECKS)) as pool:
        return [finding for found in pool.map(_safely, CHECKS) for finding in found]


def _safely(check: Callable[[], Iterator[Finding]]) -> list[Finding]:
    try:
        return list(check())
    except (ValueError, OSError, subprocess.SubprocessError) as error:
        return [Finding(check.__name__.strip("_"), "missing", str(error))]


def _python() -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] == PYTHON:
        yield Finding("Python", "ok", version)
    else:
        yield Finding("Python", "missing", f"{version}; expected 3.11: `make PYTHON=/path/to/python3.11 setup`")


def _packages() -> Iterator[Finding]:
    try:
        requirements = metadata.requires(PACKAGE) or []
    except metadata.PackageNotFoundError:
        yield Finding("packages", "missing", f"{PACKAGE} is not installed: `make setup`")
        return
    lacking = _lacking(text for text in requirements if "extra ==" not in text)
    if lacking:
        yield Finding("packages", "missing", f"not installed: {', '.join(lacking)}: `make setup`")
    else:
        yield Finding("packages", "ok", "all that the pipeline needs")
    for extra, use in EXTRAS.items():
        gone = _lacking(text for text in requirements if re.search(rf"extra == .{extra}\b", text))
        text = f"{use}: not installed ({', '.join(gone)}): `.venv/bin/pip install -e '.[{extra}]'`" if gone else use
        yield Finding(f"[{extra}]", "note" if gone else "ok", text)


def _lacking(requirements: Iterator[str]) -> list[str]:
    names = [re.split(r"[^A-Za-z0-9_.-]", text, maxsplit=1)[0] for text in requirements]
    return [name for name in names if not _is_installed(name)]


def _is_installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def _torch() -> Iterator[Finding]:
    done = subprocess.run([sys.executable, "-c", ASK_TORCH], capture_output=True, text=True, check=False, timeout=60)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        yield Finding("torch", "missing", f"cannot be loaded: {reason}: `make setup`")
        return
    version, threads, gpus = done.stdout.split()
    yield Finding("torch", "ok", f"{version}, {threads} threads of {os.cpu_count()} cores, GPUs: {gpus}")
    if gpus == "0" and shutil.which("nvidia-smi"):
        yield Finding("GPU", "note", "there is one that torch cannot use: install a build of torch for CUDA")


def _git() -> Iterator[Finding]:
    version = git(Path(), "--version")
    yield Finding(
        "git", "ok", f"{version.removeprefix('git version ')}, at {git(Path(), 'rev-parse', '--short', 'HEAD')}"
    )


def _dvc() -> Iterator[Finding]:
    if not Path(".dvc").is_dir() or not Path("dvc.yaml").is_file():
        yield Finding("DVC", "missing", "no .dvc and dvc.yaml here; run from the root of the repository")
        return
    config = configparser.ConfigParser(interpolation=None)
    config.read([".dvc/config", ".dvc/config.local"])
    remote = config.get("core", "remote", fallback=None)
    yield Finding("DVC", "ok", metadata.version("dvc"))
    if remote is None:
        yield Finding("DVC remote", "note", "none: results stay on this machine; `dvc remote add -d store ADDRESS`")
        return
    section = next((dict(config[name]) for name in config if name.strip("'") == f'remote "{remote}"'), {})
    url = section.get("url", "")
    if not url:
        yield Finding("DVC remote", "note", f"{remote} has no address: `dvc remote modify {remote} url ADDRESS`")
    elif (path := local_path(url)) is not None:
        place = path if path.is_absolute() else Path(".dvc", path)
        yield Finding("DVC remote", *(("ok", url) if place.is_dir() else ("note", f"{place}: no such folder")))
    else:
        address = section.get("endpointurl") or url.replace("s3://", "https://s3.amazonaws.com/", 1)
        yield Finding("DVC remote", *_reach(address))


def _reach(url: str) -> tuple[State, str]:
    parts = urlsplit(url)
    port = parts.port or {"http": 80, "ssh": 22}.get(parts.scheme, 443)
    try:
        socket.create_connection((parts.hostname or "", port), timeout=WAIT_S).close()
    except OSError as error:
        return "note", f"{url}: no answer ({error})"
    return "ok", f"{url} answers"


def _disk() -> Iterator[Finding]:
    free = shutil.disk_usage(".").free / 2**30
    state: State = "missing" if free < LEAST_GIB else "note" if free < ENOUGH_GIB else "ok"
    yield Finding("disk", state, f"{free:.1f} GiB free{'' if state == 'ok' else '; free some: `dvc gc --workspace`'}")
    for name in WRITTEN:
        if Path(name).is_dir():
            try:
                tempfile.TemporaryFile(dir=name).close()
            except OSError as error:
                yield Finding("rights", "missing", f"{name}: cannot be written to: {error.strerror}")


def _data() -> Iterator[Finding]:
    for entry in find_categories(None, None):
        yield _source_of(entry)


def _source_of(entry: Entry) -> Finding:
    dataset, mirror = read_section(DatasetConfig, f"datasets.{entry.paths.dataset}"), read_mirror()
    refusals = []
    for place in places_of(dataset, entry.paths.category, mirror):
        try:
            _visit(place)
        except (ValueError, Interrupted, OSError) as error:
            refusals.append(str(error) if place.url in str(error) else f"{place.url}: {error}")
        else:
            return Finding("data", "ok", f"{entry.key}: {place.url}")
    reason = "; ".join(refusals) or "no source and no mirror is named"
    if entry.paths.manifest.is_file():
        return Finding("data", "note", f"{entry.key}: what is in data/ stays usable, but its source is away: {reason}")
    advice = dataset.terms or "name a folder that holds it with DATA_MIRROR, or say `diffusionad init FOLDER`"
    return Finding("data", "missing", f"{entry.key}: {reason}; {advice}")


def _visit(place: Place) -> None:
    """Make sure that a place holds something, without reading it."""
    path = local_path(place.url)
    if place.url.startswith("package:"):
        package_folder(place.url.removeprefix("package:"))
    elif path is not None:
        if not (path.is_dir() or files_of(path)):
            raise ValueError("no such folder or archive")
    elif place.url.startswith("s3://"):
        if next(bucket.list_objects(place.url, WAIT_S), None) is None:
            raise ValueError("no object below it")
    else:
        ask(place.url, WAIT_S)


def _s3() -> Iterator[Finding]:
    named = [source.url for entry in find_categories(None, None) for source in _dataset_of(entry).sources]
    named += [read_mirror() or "", *(file.read_text() for file in Path(".dvc").glob("config*"))]
    if not any("s3://" in text for text in named):
        return
    if boto3.session.Session().get_credentials() is None:
        advice = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
        yield Finding("S3", "note", f"s3:// is named, and there are no credentials: {advice}")
    else:
        yield Finding("S3", "ok", f"credentials, for {os.environ.get('AWS_ENDPOINT_URL', 'AWS')}")


def _dataset_of(entry: Entry) -> DatasetConfig:
    return read_section(DatasetConfig, f"datasets.{entry.paths.dataset}")


def _server(name: str, variable: str, path: str, without: str) -> Iterator[Finding]:
    url = os.environ.get(variable, "")
    if not url.startswith("http"):
        yield Finding(name, "ok", url or without)
        return
    try:
        urllib.request.urlopen(f"{url.rstrip('/')}{path}", timeout=WAIT_S).close()  # noqa: S310  # the user's own server
    except OSError as error:
        yield Finding(
            name, "note", f"{variable}={url}: no answer ({getattr(error, 'reason', error)}); unset it to do without"
        )
    else:
        yield Finding(name, "ok", url)


def _mlflow() -> Iterator[Finding]:
    yield from _server("MLflow", "MLFLOW_TRACKING_URI", "/health", ".local/mlflow, made at its first use")


def _prefect() -> Iterator[Finding]:
    yield from _server("Prefect", "PREFECT_API_URL", "/health", "each flow starts a server of its own")


def _browser() -> Iterator[Finding]:
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    has_driver = importlib.util.find_spec("playwright") is not None
    if browser and has_driver:
        yield Finding("Chromium", "ok", browser)
    else:
        gone = " and ".join(name for name, there in (("Chromium", browser), ("playwright", has_driver)) if not there)
        yield Finding("Chromium", "note", f"no {gone}: tests of pages are skipped; `make setup-dev`, infra/chromium.sh")


CHECKS = (_python, _packages, _torch, _git, _dvc, _disk, _data, _s3, _mlflow, _prefect, _browser)
