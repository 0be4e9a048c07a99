import subprocess
import sys

import pytest

from pipelines.tracking import store
from pipelines.tracking.store import EMBEDDED

pytestmark = pytest.mark.filterwarnings("ignore:unclosed database:ResourceWarning")  # mlflow leaves SQLite open

FIRST_USE = """
from pipelines.tracking import store
client = store.connect()
client.create_run(store.experiment(client, "0"))
"""


def test_processes_that_use_a_fresh_store_at_once_all_succeed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    racers = [subprocess.Popen([sys.executable, "-c", FIRST_USE.replace('"0"', f'"{i}"')]) for i in range(2)]

    assert [racer.wait(300) for racer in racers] == [0, 0]
    client = store.connect()
    assert {client.search_runs([store.experiment(client, str(i))])[0].info.status for i in range(2)} == {"RUNNING"}


def test_artifacts_of_the_embedded_store_lie_beside_its_database(client, repository):
    place = client.get_experiment(store.experiment(client, "toy")).artifact_location

    assert place == (repository / EMBEDDED / "artifacts" / "toy").as_uri()


def test_a_server_that_does_not_answer_is_named_at_once(repository, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")

    with pytest.raises(ValueError, match=r"http://127\.0\.0\.1:9: no MLflow server answers there"):
        store.connect()


def test_a_server_of_another_major_version_is_refused(repository, monkeypatch, answering):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", answering({"/health": "OK", "/version": "2.22.0"}))

    with pytest.raises(ValueError, match=r"\Ahttp://\S+: MLflow 2\.22\.0 answers there, this is 3\."):
        store.connect()


def test_a_server_of_this_version_is_taken(repository, monkeypatch, answering):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", answering({"/health": "OK", "/version": store.mlflow.__version__}))

    assert store.connect().tracking_uri.startswith("http://")


def test_a_database_that_is_none_is_an_error_of_one_line(repository):
    (EMBEDDED / "mlflow.db").write_text("no database")
    (EMBEDDED / "schema").unlink()

    with pytest.raises(ValueError, match=r"mlflow\.db: cannot be made ready: "):
        store.connect()
