"""Pins and first uses that break silently: each of these failed once with versions that install clean."""

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

APPLY = """
from pipelines.flows.settings import read_orchestration
from pipelines.flows.schedules import deployments
for deployment in deployments(read_orchestration()):
    deployment.apply()
"""
FIRST_USE = """
import contextlib, sqlite3
from pipelines.launch.launcher import HOME, prepare
from pipelines.tracking.store import connect
prepare()
with contextlib.closing(sqlite3.connect(HOME / "prefect.db")) as database:
    assert database.execute("select count(*) from flow_run").fetchone() == (0,)
assert connect().search_registered_models() == []
"""


def ask(api, path, **content):
    return httpx.post(f"{api}/{path}", json=content).raise_for_status().json()


@pytest.mark.slow
def test_the_pinned_server_can_be_imported():
    """With fastapi 0.155 or later it cannot, though `import prefect` works."""
    done = subprocess.run([sys.executable, "-c", "import prefect.server.api.server"], check=False)

    assert done.returncode == 0


@pytest.mark.slow
def test_a_cron_schedule_really_yields_scheduled_runs(plates, prefect_api):
    """With SQLAlchemy 2.1 none appear, and only the server's log says so."""
    subprocess.run([sys.executable, "-c", APPLY], cwd=plates.root, env=plates.environment, check=True)
    names = {"flows": {"name": {"any_": ["retraining"]}}, "deployments": {"name": {"any_": ["plates"]}}}
    (deployment,) = ask(prefect_api, "deployments/filter", **names)

    runs, end = [], time.monotonic() + 120
    while len(runs) < 2 and time.monotonic() < end:
        time.sleep(0.2)
        runs = ask(prefect_api, "flow_runs/filter", deployments={"id": {"any_": [deployment["id"]]}})

    assert {run["state_type"] for run in runs} == {"SCHEDULED"}
    assert all("T03:00:00" in run["expected_start_time"] for run in runs)
    assert deployment["concurrency_options"]["collision_strategy"] == "CANCEL_NEW"


@pytest.mark.slow
def test_six_first_users_of_one_checkout_all_succeed(plates):
    """Both MLflow and Prefect fail where two processes make the tables of one database."""
    environment = {name: value for name, value in plates.environment.items() if name != "PREFECT_API_URL"}

    def use(_):
        command = [sys.executable, "-c", FIRST_USE]
        return subprocess.run(command, cwd=plates.root, env=environment, capture_output=True, text=True, check=False)

    with ThreadPoolExecutor(6) as pool:
        done = list(pool.map(use, range(6)))

    assert [one.stderr for one in done if one.returncode] == []
