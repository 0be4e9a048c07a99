"""Real processes: the model behind `mlflow models serve`, and the registry on an MLflow server."""

import base64
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipelines.promotion import registry
from pipelines.promotion.decision import Check, Decision
from pipelines.promotion.journal import aliases
from pipelines.serving.packaging import save_served
from pipelines.tracking import store
from pipelines.tracking.track import track

pytestmark = pytest.mark.filterwarnings("ignore:unclosed database:ResourceWarning")  # mlflow leaves SQLite open

START_S = 180
PASS = Decision((Check("floor", "image_auroc", 0.9, ">= 0.8", passed=True),))


def post(url, content):
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})  # noqa: S310  # ours
    try:
        with urllib.request.urlopen(request, timeout=600) as answer:  # noqa: S310
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@contextmanager
def serving(*arguments, cwd):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", *arguments, "--host", "127.0.0.1", "--port", str(port)]
    log = Path(cwd, "server.log")
    with log.open("w") as stream:
        # A session of its own: the server starts workers, and all of them must go.
        # `mlflow models serve` looks for uvicorn in the path.
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        env = os.environ | {
            "PATH": path,
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            # A busy machine takes longer than the usual minute to read a request of 200 MB.
            "MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT": "600",
        }
        server = subprocess.Popen(command, cwd=cwd, env=env, stdout=stream, stderr=stream, start_new_session=True)
        try:
            end = time.monotonic() + START_S
            while time.monotonic() < end and server.poll() is None:
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
                    break
                except OSError:
                    time.sleep(0.2)
            else:
                pytest.fail(log.read_text())
            yield f"http://127.0.0.1:{port}"
        finally:
            if server.poll() is None:
                os.killpg(server.pid, signal.SIGTERM)
            server.wait(60)


@pytest.mark.slow
def test_a_served_model_answers_every_request_and_refuses_what_is_no_image(entry, tmp_path):
    """On an idle core about 20 s, most of them to start."""
    file = next((entry.paths.images / "test").rglob("*.png"))
    text = base64.b64encode(file.read_bytes()).decode()
    row = {"dataframe_records": [{"image": text}]}
    forms = [
        {"dataframe_split": {"columns": ["image"], "data": [[text], [text]]}},
        {"instances": [{"image": text}, {"image": text}]},
        {"instances": [text, text]},
        {"inputs": {"image": [text, text]}},
        {"inputs": [text, text]},
        {"inputs": [{"image": text}, {"image": text}]},
    ]
    single = [{"inputs": {"image": text}}, {"inputs": [text]}, {"instances": [text]}]
    wrapped = "data:image/png;base64," + base64.encodebytes(file.read_bytes()).decode()
    mixed = [{"inputs": [text, "bm8gaW1hZ2U=", wrapped]}, {"dataframe_records": [{"image": v} for v in (text, None)]}]
    with (
        save_served(entry.paths) as model,
        serving("models", "serve", "-m", str(model), "--env-manager", "local", cwd=tmp_path) as server,
    ):
        url = f"{server}/invocations"
        one_by_one = [post(url, row) for _ in range(100)]
        with ThreadPoolExecutor(8) as pool:
            together = list(pool.map(lambda _: post(url, row), range(8)))
        with_map = post(url, row | {"params": {"anomaly_map": True}})
        broken = post(url, {"dataframe_records": [{"image": "bm8gaW1hZ2U="}]})
        all_forms = [post(url, form) for form in forms]
        one_each = [post(url, form) for form in single]
        partly = [post(url, form) for form in mixed]
        huge = post(url, b'{"dataframe_records": [{"image": "' + b"A" * (200 * 2**20) + b'"}]}')
        after = post(url, row)

    assert [status for status, _ in one_by_one + together] == [200] * 108
    assert len({answer["predictions"][0]["score"] for _, answer in one_by_one + together}) == 1
    assert base64.b64decode(with_map[1]["predictions"][0]["anomaly_map"]).startswith(b"\x89PNG")
    score = with_map[1]["predictions"][0]["score"]
    for number, answers in ((2, all_forms), (1, one_each)):
        for status, answer in answers:
            assert status == 200, answer
            assert [each["score"] for each in answer["predictions"]] == pytest.approx([score] * number, abs=1e-6)
            assert [each["error"] for each in answer["predictions"]] == [None] * number
    (_, three), (_, two) = partly
    assert [each["score"] for each in three["predictions"]][::2] == pytest.approx([score] * 2, abs=1e-6)
    assert three["predictions"][1]["score"] is None
    assert "image 1: not an image" in three["predictions"][1]["error"]
    assert [each["label"] is None for each in two["predictions"]] == [False, True]
    assert broken[0] == 400
    assert "not an image" in broken[1]
    assert huge[0] == 400
    assert "150 MiB, at most 64 are taken" in huge[1]
    assert after[0] == 200


@pytest.mark.slow
def test_the_registry_works_on_a_server_as_on_the_embedded_store(entry, tmp_path, monkeypatch):
    """On an idle core about 20 s, most of them to start."""
    database = tmp_path / "server.db"
    database.write_bytes((store.EMBEDDED / "mlflow.db").read_bytes())
    arguments = ["--backend-store-uri", f"sqlite:///{database}", "--artifacts-destination", str(tmp_path / "artifacts")]
    with serving("server", *arguments, "--workers", "1", cwd=tmp_path) as server:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
        client = store.connect()
        assert track(client, entry) == track(client, entry)
        assert registry.register(client, entry) == ("1", True)
        assert registry.register(client, entry) == ("1", False)
        registry.record_decision(client, "toy-disc", "1", None, PASS)
        registry.make_champion(client, "toy-disc", "1", "it is the first")
        assert aliases(client, "toy-disc") == {"champion": "1"}
        with pytest.raises(ValueError, match="nothing to roll back to"):
            registry.rollback(client, "toy-disc", None, "")
        with pytest.raises(ValueError, match="no version or alias `7`"):
            registry.get_version(client, "toy-disc", "7")
        with pytest.raises(ValueError, match="no version or alias `best`"):
            registry.get_version(client, "toy-disc", "best")
