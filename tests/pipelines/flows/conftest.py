"""One Prefect server for all tests here, and small checkouts whose flows talk to it."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from pipelines.processes import end_inside, end_session
from stages.tools.settings import lay_over

ROOT = Path(__file__).parents[3]
CODE = ("diffusionad", "stages", "pipelines", "infra", "dvc.yaml", "params.yaml", ".dvcignore", ".gitignore")
START_S = 900
TEST_S = 3600
"""For one command. Quiet cores need a minute; this only ends what hangs."""

# A pipeline that takes milliseconds: two of the real stage names, run by real processes of DVC.
QUICK = """\
stages:
  train:
    foreach: ${categories}
    do:
      cmd: infra/python stage.py ${key} ${training.seed}
      deps: [stage.py]
      params: [training.seed]
      outs: ["models/${key}"]
  evaluate:
    foreach: ${categories}
    do:
      cmd: cp models/${key} reports/${item.dataset}/${item.category}/metrics.json
      deps: ["models/${key}"]
      outs: ["reports/${item.dataset}/${item.category}/metrics.json"]
"""
STAGE = """\
import json, pathlib, sys
pathlib.Path("models").mkdir(exist_ok=True)
pathlib.Path("reports/toy", sys.argv[1].removeprefix("toy-")).mkdir(parents=True, exist_ok=True)
pathlib.Path("models", sys.argv[1]).write_text(json.dumps({"image_auroc": len(sys.argv[1]) + int(sys.argv[2])}))
"""


@pytest.fixture(scope="session")
def prefect_api(tmp_path_factory):
    """The address of a Prefect server that looks for due runs every second."""
    home = tmp_path_factory.mktemp("prefect")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {
        "PREFECT_HOME": str(home),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "1",
        "DO_NOT_TRACK": "true",
    }
    environment.pop("PREFECT_API_URL", None)
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    log = home / "server.log"
    with log.open("w") as stream:
        server = subprocess.Popen(command, env=environment, stdout=stream, stderr=stream, start_new_session=True)
        try:
            url, end = f"http://127.0.0.1:{port}/api", time.monotonic() + START_S
            while True:
                assert server.poll() is None, log.read_text()
                assert time.monotonic() < end, log.read_text()
                try:
                    urllib.request.urlopen(f"{url}/health", timeout=5).close()  # noqa: S310  # ours
                    break
                except OSError:
                    time.sleep(0.2)
            yield url
        finally:
            end_session(server.pid)
            server.wait(60)


class Checkout:
    """A repository in which commands run as a user would type them."""

    def __init__(self, root, environment, set_values):
        self.root, self.environment, self.set_values = root, environment, set_values

    def start(self, *arguments, output=None):
        command = [sys.executable, "-m", *arguments]
        return subprocess.Popen(
            command, cwd=self.root, env=self.environment, start_new_session=True, stdout=output, stderr=output
        )

    def run(self, *arguments, check=True):
        command = [sys.executable, "-m", *arguments]
        done = subprocess.run(
            command, cwd=self.root, env=self.environment, text=True, capture_output=True, check=False, timeout=TEST_S
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def change(self, **values):
        """Set values of params.yaml; a double underscore steps into a section."""
        self.set_values(self.root / "params.yaml", **values)

    def commit(self):
        identity = ["-c", "user.name=a test", "-c", "user.email=test@example.org"]
        self.git("add", "-A")
        self.git(*identity, "commit", "-qm", "a change")

    def git(self, *arguments):
        done = subprocess.run(["git", *arguments], cwd=self.root, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def draw(self, count, folder=None, brightness=150):
        """Photographs of good plates; to train on, if no folder is named."""
        place = folder or self.root.parent / "parts" / "plate" / "train" / "good"
        draw(place, np.random.default_rng(brightness), count, brightness=brightness)

    def processes(self):
        """Command lines of the processes that still run inside the checkout."""
        return list(self._processes().values())

    def pids(self, text):
        """Ids of the processes with a text on their command line."""
        return {pid for pid, line in self._processes().items() if text in line}

    def _processes(self):
        found = {}
        for process in psutil.process_iter():
            try:
                if Path(process.cwd()).is_relative_to(self.root) and process.status() != psutil.STATUS_ZOMBIE:
                    found[process.pid] = " ".join(process.cmdline())
            except (psutil.Error, OSError):
                continue
        return found


def _environment(root, api):
    environment = os.environ | {"PYTHONPATH": str(root), "STAGE_PYTHON": sys.executable, "DVC_NO_ANALYTICS": "1"}
    # Commits work without a user.name in git's settings, which a fresh machine lacks.
    environment |= {f"GIT_{who}_{what}": "test" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    for name in ("MLFLOW_TRACKING_URI", "DATA_MIRROR", "PREFECT_API_URL", "PREFECT_HOME"):
        environment.pop(name, None)
    return environment | ({"PREFECT_API_URL": api} if api else {})


def draw(folder, rng, count, hole=None, brightness=150):
    """Grey plates; `hole` is the folder of the masks of dark holes."""
    folder.mkdir(parents=True, exist_ok=True)
    first = len(list(folder.iterdir()))
    for index in range(first, first + count):
        pixels = rng.normal(brightness, 12, (48, 48)).clip(0, 255).astype(np.uint8)
        if hole:
            mask = np.zeros_like(pixels)
            top, left = rng.integers(4, 32, 2)
            mask[top : top + 12, left : left + 10] = 255
            pixels[mask > 0] //= 4
            hole.mkdir(parents=True, exist_ok=True)
            Image.fromarray(mask).save(hole / f"{index:03}_mask.png")
        Image.fromarray(pixels).save(folder / f"{index:03}.png")


@pytest.fixture
def plates(tmp_path, prefect_api, set_values):
    """A checkout of the project with the test profile, and photographs of plates in MVTec's layout to train on."""
    source, rng = tmp_path / "parts" / "plate", np.random.default_rng(0)
    draw(source / "train" / "good", rng, 16)
    draw(source / "test" / "good", rng, 6)
    draw(source / "test" / "hole", rng, 6, source / "ground_truth" / "hole")
    root = tmp_path / "checkout"
    root.mkdir()
    for name in CODE:
        place = ROOT / name
        if place.is_dir():
            shutil.copytree(place, root / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(place, root / name)
    (root / ".dvc").mkdir()
    for name in ("config", ".gitignore"):
        shutil.copy(ROOT / ".dvc" / name, root / ".dvc" / name)
    lay_over(ROOT / "params" / "test.yaml", root / "params.yaml")
    checkout = Checkout(root, _environment(root, prefect_api), set_values)
    dataset = {
        "layout": "folder",
        "sources": [{"url": str(source.parent), "sha256": None}],
        "mirror_names": ["plates"],
        "terms": None,
        "licence": "CC0",
        "licence_url": "https://example.org",
        "non_commercial": False,
        "foreground": "full",
    }
    checkout.change(
        datasets__plates=dataset,
        categories={"plates-plate": {"dataset": "plates", "category": "plate"}},
        orchestration__schedules={"plates": {"cron": "0 3 * * 1", "timezone": "Etc/UTC"}},
        orchestration__retry_wait_s=[1],
        orchestration__live_poll_s=0.2,
    )
    checkout.git("init", "-q", "-b", "main")
    checkout.commit()
    yield checkout
    # Left over if the test failed half way.
    end_inside(tmp_path)


@pytest.fixture
def quick(tmp_path, prefect_api, set_values):
    """Makes a checkout of some categories of `toy` whose stages take milliseconds."""

    def make(*categories, stage=STAGE):
        root = tmp_path / "checkout"
        (root / "infra").mkdir(parents=True)
        shutil.copy(ROOT / "infra" / "python", root / "infra" / "python")
        shutil.copy(ROOT / ".gitignore", root / ".gitignore")
        shutil.copy(ROOT / "params.yaml", root / "params.yaml")
        (root / "dvc.yaml").write_text(QUICK)
        (root / "stage.py").write_text(stage)
        checkout = Checkout(root, _environment(root, prefect_api), set_values)
        checkout.change(
            categories={f"toy-{name}": {"dataset": "toy", "category": name} for name in categories},
            orchestration__schedules={},
            orchestration__retry_wait_s=[1],
        )
        checkout.git("init", "-q", "-b", "main")
        checkout.run("dvc", "init", "-q")
        checkout.commit()
        return checkout

    return make
