"""A server that flows cannot work with is reported in one line, before anything is touched."""

import subprocess
import sys

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from pipelines.launch.check_server import check_server


def test_a_flow_on_a_server_of_another_major_version_ends_in_one_line_and_touches_nothing(
    repository, answering, monkeypatch
):
    address = answering({"/api/admin/version": '"2.20.1"'})
    monkeypatch.setenv("PREFECT_API_URL", f"{address}/api")
    before = set(repository.rglob("*"))

    command = [sys.executable, "-m", "pipelines.cli", "run", "--dataset", "toy"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: http://127.0.0.1:")
    assert "client: 3.8.8, server: 2.20.1. Major versions must match. See PREFECT_API_URL" in line
    assert set(repository.rglob("*")) == before


@pytest.mark.parametrize(
    ("texts", "complaint"),
    [
        (None, r"http://127\.0\.0\.1:9/api: Failed to reach API at .* See PREFECT_API_URL"),
        ({}, r"http://\S+/api: Failed to reach API at .* See PREFECT_API_URL"),
    ],
)
def test_what_is_no_server_is_named(answering, texts, complaint):
    url = "http://127.0.0.1:9" if texts is None else answering(texts)

    with temporary_settings({PREFECT_API_URL: f"{url}/api"}), pytest.raises(ValueError, match=complaint):
        check_server()


def test_a_server_of_this_version_is_taken_and_no_server_too(answering):
    address = answering({"/api/admin/version": '"3.8.8"'})

    # It says nothing and raises nothing.
    with temporary_settings({PREFECT_API_URL: f"{address}/api"}):
        check_server()
    with temporary_settings({PREFECT_API_URL: None}):
        check_server()
