"""infra/local.sh on its lightest service: what it starts, what it ends, what it says."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def local(tmp_path):
    """Runs infra/local.sh in a folder of its own, with moto for S3, on a port that is free."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def run(*arguments, **options):
        environment = {
            "INFRA_HOME": str(tmp_path / "home"),
            "INFRA_VENV": str(Path(sys.executable).parents[1]),
            "INFRA_S3": "moto",
            "S3_PORT": str(port),
        }
        return subprocess.run(
            [ROOT / "infra" / "local.sh", *arguments],
            env=os.environ | environment | options,
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )

    yield run
    run("down", "s3")


def server(tmp_path):
    return psutil.Process(int((tmp_path / "home" / "run" / "s3.pid").read_text().split()[0]))


def test_a_service_is_started_once_and_ended_with_all_it_started(local, tmp_path):
    first = local("up", "s3")
    assert first.returncode == 0, first.stderr
    process = server(tmp_path)
    again = local("up", "s3")

    assert "moto stands in for S3" in first.stderr
    assert first.stdout == "s3 is up\n"
    assert (again.returncode, again.stdout) == (0, "")
    assert server(tmp_path) == process
    assert f"s3 runs, process {process.pid}" in local("status").stdout

    done = local("down", "s3")

    assert done.stdout == "s3 is down\n"
    assert not process.is_running()
    assert "s3 does not run" in local("status").stdout


def test_a_process_that_took_over_a_number_is_left_alone(local, tmp_path):
    run = tmp_path / "home" / "run"
    run.mkdir(parents=True)
    other = subprocess.Popen(["sleep", "600"])
    (run / "s3.pid").write_text(f"{other.pid} 1\n")

    local("down", "s3")

    assert other.poll() is None
    other.kill()
    other.wait()


def test_a_port_that_is_taken_is_named(local):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refused = local("up", "s3", S3_PORT=str(port))

    assert refused.returncode == 1
    assert f"error: s3: port {port} of 127.0.0.1 is taken; set another" in refused.stderr


def test_passwords_are_made_once_and_for_their_owner(local, tmp_path):
    first, second = local("env").stdout, local("env").stdout

    assert first == second
    assert "export MLFLOW_TRACKING_PASSWORD=" in first
    assert (tmp_path / "home" / "secrets").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("arguments", "status", "line"),
    [
        ((), 2, "usage: infra/local.sh COMMAND"),
        (("start",), 2, "usage: infra/local.sh COMMAND"),
        (("up", "minio"), 1, "error: no service `minio`; there are postgres s3 mlflow prefect worker"),
    ],
)
def test_a_wrong_command_line_is_answered_with_what_there_is(local, arguments, status, line):
    done = local(*arguments)

    assert done.returncode == status
    assert line in done.stderr


def test_without_the_environment_it_says_how_to_make_one(local, tmp_path):
    refused = local("up", INFRA_VENV=str(tmp_path))

    assert refused.returncode == 1
    assert f"{tmp_path}/bin holds no prefect and mlflow: make setup-dev, or set INFRA_VENV" in refused.stderr
