"""The whole composition, started by infra/local.sh for all tests here, and a checkout that its worker works in."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest
from PIL import Image

from stages.tools.settings import lay_over

ROOT = Path(__file__).parents[2]
CODE = ("diffusionad", "stages", "pipelines", "infra", "dvc.yaml", "params.yaml", ".dvcignore", ".gitignore")
DATASET = {
    "layout": "folder",
    "mirror_names": ["plates"],
    "terms": None,
    "licence": "CC0",
    "licence_url": "https://example.org",
    "non_commercial": False,
    "foreground": "full",
}
# A training of seconds separates nothing: a gate that lets every finite figure pass shows the way all the same.
GATE = {
    "floors": {"image_auroc": {"mean": 0.0, "worst": 0.0}, "pixel_pro": None, "pixel_ap": None},
    "max_regression": {"image_auroc": 1.0, "pixel_pro": None, "pixel_ap": None},
    "latency_ratio": 1000.0,
}
PATIENCE_S = 900
"""For one flow run, which takes a minute and a half: this only ends what hangs."""
UNSET = ("MLFLOW_", "PREFECT_")
"""Variables that are not those of whoever runs the tests."""
FINAL = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}


def draw(folder, rng, count, holes=None):
    """Grey plates; `holes` is the folder of the masks of dark holes."""
    folder.mkdir(parents=True)
    for index in range(count):
        pixels = rng.normal(150, 12, (48, 48)).clip(0, 255).astype(np.uint8)
        if holes:
            mask = np.zeros_like(pixels)
            top, left = rng.integers(4, 32, 2)
            mask[top : top + 12, left : left + 10] = 255
            pixels[mask > 0] //= 4
            holes.mkdir(parents=True, exist_ok=True)
            Image.fromarray(mask).save(holes / f"{index:03}_mask.png")
        Image.fromarray(pixels).save(folder / f"{index:03}.png")


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


class Composition:
    """The servers, as infra/local.sh starts them, and what a user does with them."""

    def __init__(self, folder, set_values):
        self.checkout, self.home, self.set_values = folder / "checkout", folder / "home", set_values
        self.origin = folder / "origin.git"
        names = ("POSTGRES_PORT", "S3_PORT", "CEPH_MON_PORT", "MLFLOW_PORT", "PREFECT_PORT", "WORKER_PORT")
        environment = {name: value for name, value in os.environ.items() if not name.startswith(UNSET)}
        self.environment = environment | dict(zip(names, map(str, free_ports(len(names))), strict=True))
        self.environment |= {
            "INFRA_HOME": str(self.home),
            "INFRA_VENV": str(Path(sys.executable).parents[1]),
            "INFRA_PATIENCE_S": "900",
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(self.checkout),
            "STAGE_PYTHON": sys.executable,
            "DVC_NO_ANALYTICS": "1",
            "PREFECT_CLI_PROMPT": "false",
            "PREFECT_WORKER_QUERY_SECONDS": "2",
        }
        self.environment |= {
            f"GIT_{who}_{what}": "test" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
        }

    def run(self, *command, folder=None, check=True):
        done = subprocess.run(
            command,
            cwd=folder or self.checkout,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=3600,
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def local(self, *arguments, check=True):
        return self.run("infra/local.sh", *arguments, check=check)

    def take_over_addresses(self):
        """Let later commands find the servers, as `eval "$(infra/local.sh env)"` does."""
        lines = self.local("env").stdout.splitlines()
        self.environment |= dict(line.removeprefix("export ").split("=", 1) for line in lines)
        user, _, password = self.environment["PREFECT_API_AUTH_STRING"].partition(":")
        self.api = httpx.Client(base_url=self.environment["PREFECT_API_URL"], auth=(user, password), timeout=60)

    def change(self, **values):
        """Set values of params.yaml, a double underscore steps into a section, and commit."""
        self.set_values(self.checkout / "params.yaml", **values)
        self.run("git", "add", "-A")
        self.run("git", "commit", "-qm", "a change")

    def deployment(self, name):
        return self._call("GET", f"/deployments/name/{name}").json()["id"]

    def trigger(self, name, **parameters):
        """Ask for a run of a deployment, and return its id."""
        path = f"/deployments/{self.deployment(name)}/create_flow_run"
        return self._call("POST", path, json={"parameters": parameters, "state": {"type": "SCHEDULED"}}).json()["id"]

    def flow_run(self, run):
        return self._call("GET", f"/flow_runs/{run}").json()

    def flow_runs(self, **filters):
        return self._call("POST", "/flow_runs/filter", json={"flow_runs": filters}).json()

    def end_of(self, run):
        """Wait for a run to end, and return its last state."""
        self.wait_for(lambda: self.flow_run(run)["state"]["type"] in FINAL, f"run {run} to end")
        return self.flow_run(run)["state"]

    def log_of(self, run):
        """All that a run has logged; the server gives 200 lines at a time."""
        lines, page = [], [None]
        while page:
            body = {"logs": {"flow_run_id": {"any_": [run]}}, "offset": len(lines), "sort": "TIMESTAMP_ASC"}
            page = [entry["message"] for entry in self._call("POST", "/logs/filter", json=body).json()]
            lines += page
        return lines

    def wait_for(self, condition, what, poll_s=0.5):
        until = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < until, f"waited in vain for {what}\n{self.logs()}"
            time.sleep(poll_s)

    def logs(self):
        return "\n".join(f"== {log.name}\n{log.read_text()[-3000:]}" for log in (self.home / "log").glob("*.log"))

    def has_logged(self, run, text):
        """Whether a run has logged a line that holds a text."""
        return any(text in line for line in self.log_of(run))

    def await_training(self):
        """Wait until a training has saved a state to go on from."""
        folder = self.checkout / ".local/training/plates/plate"
        self.wait_for(lambda: any(folder.glob("*.pt")), "a training", poll_s=0.05)

    def champion(self):
        """What the registry says of the champion: its version, with lineage and decision as tags."""
        server, names = self.environment["MLFLOW_TRACKING_URI"], {"name": "plates-plate", "alias": "champion"}
        log_in = (self.environment["MLFLOW_TRACKING_USERNAME"], self.environment["MLFLOW_TRACKING_PASSWORD"])
        answer = httpx.get(f"{server}/api/2.0/mlflow/registered-models/alias", params=names, auth=log_in, timeout=60)
        return answer.raise_for_status().json()["model_version"]

    def kill(self, service):
        """End a service and all that it started, as a power cut would."""
        while alive := self._carriers(f"{self.home}/{service}"):
            for process in alive:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            psutil.wait_procs(alive, timeout=10)

    def processes(self):
        """What is left of the composition, by command."""
        left = []
        for process in self._carriers(str(self.home)):
            with contextlib.suppress(psutil.Error):
                left.append(" ".join(process.cmdline()))
        return left

    def _carriers(self, prefix):
        """Processes that carry the name of a service, as local.sh gives it, or have it on their command line."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                # PostgreSQL writes over its environment.
                named = [process.environ().get("INFRA_SERVICE", ""), *process.cmdline()]
                if any(text.startswith(prefix) for text in named) and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    def _call(self, method, path, **options):
        answer = self.api.request(method, path, **options)
        answer.raise_for_status()
        return answer


def make_checkout(composition, parts):
    root = composition.checkout
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
    # As docs/infra.md says for another data set.
    deployments = root / "infra" / "prefect.yaml"
    deployments.write_text(deployments.read_text().replace("elpv", "plates").replace("mono", "plate"))
    composition.run("git", "init", "-q", "-b", "main")
    composition.run("git", "init", "-q", "--bare", str(composition.origin))
    composition.run("git", "remote", "add", "origin", str(composition.origin))
    composition.run(sys.executable, "-m", "dvc", "remote", "add", "--default", "store", "s3://dvc/plates")
    composition.change(
        datasets__plates=DATASET | {"sources": [{"url": str(parts), "sha256": None}]},
        categories={"plates-plate": {"dataset": "plates", "category": "plate"}},
        orchestration__schedules={"plates": {"cron": "0 3 * * 1", "timezone": "Etc/UTC"}},
        orchestration__retry_wait_s=[5, 10, 20, 40],
        orchestration__live_poll_s=0.5,
        promotion__overrides={"plates": GATE},
    )


@pytest.fixture(scope="session")
def composition(set_values):
    """Everything up, and the flows deployed."""
    # Not below pytest's folder, which the user postgres may not enter.
    folder = Path(tempfile.mkdtemp(prefix="diffusionad-infra-"))
    folder.chmod(0o755)
    rng, plate = np.random.default_rng(0), folder / "parts" / "plate"
    draw(plate / "train" / "good", rng, 16)
    draw(plate / "test" / "good", rng, 6)
    draw(plate / "test" / "hole", rng, 6, plate / "ground_truth" / "hole")
    one = Composition(folder, set_values)
    make_checkout(one, plate.parent)
    try:
        one.local("up")
        one.take_over_addresses()
        one.run("prefect", "--no-prompt", "deploy", "--all", "--prefect-file", "infra/prefect.yaml")
        one.run("prefect", "automation", "create", "--from-file", "infra/automations.yaml")
        yield one
    finally:
        one.local("down", check=False)
        left = one.processes()
        shutil.rmtree(folder, ignore_errors=True)
    assert left == []
