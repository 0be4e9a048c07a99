"""One Prefect server for all tests here, and small checkouts whose flows talk to it."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from pipelines.processes import end_inside, end_session
from toys.checkout import Checkout
from toys.plates import draw_category

ROOT = Path(__file__).parents[3]
START_S = 900

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


@pytest.fixture
def plates(tmp_path, prefect_api):
    """A checkout of the project with the test profile, and photographs of plates in MVTec's layout to train on."""
    draw_category(tmp_path / "parts" / "plate")
    checkout = Checkout(tmp_path / "checkout")
    checkout.environment["PREFECT_API_URL"] = prefect_api
    checkout.lay_out(tmp_path / "parts")
    checkout.change(
        orchestration__schedules={"plates": {"cron": "0 3 * * 1", "timezone": "Etc/UTC"}},
        orchestration__retry_wait_s=[1],
        orchestration__live_poll_s=0.2,
    )
    checkout.commit()
    yield checkout
    # Left over if the test failed half way.
    end_inside(tmp_path)


@pytest.fixture
def quick(tmp_path, prefect_api):
    """Makes a checkout of some categories of `toy` whose stages take milliseconds."""

    def make(*categories, stage=STAGE):
        root = tmp_path / "checkout"
        (root / "infra").mkdir(parents=True)
        shutil.copy(ROOT / "infra" / "python", root / "infra" / "python")
        shutil.copy(ROOT / ".gitignore", root / ".gitignore")
        shutil.copy(ROOT / "params.yaml", root / "params.yaml")
        (root / "dvc.yaml").write_text(QUICK)
        (root / "stage.py").write_text(stage)
        checkout = Checkout(root)
        checkout.environment["PREFECT_API_URL"] = prefect_api
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
