"""The whole composition, started by infra/local.sh for all tests here, and a checkout that its worker works in."""

import contextlib
import shutil
import socket
import sys
import tempfile
import time
from pathlib import Path

import httpx
import psutil
import pytest

from toys.checkout import Checkout
from toys.plates import draw_category

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


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


class Composition(Checkout):
    """The servers, as infra/local.sh starts them, and what a user does with them."""

    def __init__(self, folder):
        super().__init__(folder / "checkout")
        self.home, self.origin = folder / "home", folder / "origin.git"
        names = ("POSTGRES_PORT", "S3_PORT", "CEPH_MON_PORT", "MLFLOW_PORT", "PREFECT_PORT", "WORKER_PORT")
        self.environment = {name: value for name, value in self.environment.items() if not name.startswith(UNSET)}
        self.environment |= dict(zip(names, map(str, free_ports(len(names))), strict=True))
        self.environment |= {
            "INFRA_HOME": str(self.home),
            "INFRA_VENV": str(Path(sys.executable).parents[1]),
            "INFRA_PATIENCE_S": "900",
            "PREFECT_CLI_PROMPT": "false",
            "PREFECT_WORKER_QUERY_SECONDS": "2",
        }

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
        super().change(**values)
        self.commit()

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
        folder = self.root / ".local/training/plates/plate"
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
    composition.lay_out(parts)
    # As docs/infra.md says for another data set.
    deployments = composition.root / "infra" / "prefect.yaml"
    deployments.write_text(deployments.read_text().replace("elpv", "plates").replace("mono", "plate"))
    composition.git("init", "-q", "--bare", str(composition.origin))
    composition.git("remote", "add", "origin", str(composition.origin))
    composition.run("dvc", "remote", "add", "--default", "store", "s3://dvc/plates")
    composition.change(
        orchestration__schedules={"plates": {"cron": "0 3 * * 1", "timezone": "Etc/UTC"}},
        orchestration__retry_wait_s=[5, 10, 20, 40],
        orchestration__live_poll_s=0.5,
        promotion__overrides={"plates": GATE},
    )


@pytest.fixture(scope="session")
def composition():
    """Everything up, and the flows deployed."""
    # Not below pytest's folder, which the user postgres may not enter.
    folder = Path(tempfile.mkdtemp(prefix="diffusionad-infra-"))
    folder.chmod(0o755)
    draw_category(folder / "parts" / "plate")
    one = Composition(folder)
    make_checkout(one, folder / "parts")
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
