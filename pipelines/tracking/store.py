"""Where runs and versions are kept: an embedded MLflow in `.local/mlflow`, or the server of MLFLOW_TRACKING_URI."""

import os
import subprocess
import sys
import urllib.request
from pathlib import Path

import mlflow
from filelock import FileLock
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.rest_utils import http_request

from pipelines.errors import TransientError

EMBEDDED = Path(".local", "mlflow")
"""SQLite database and artifacts. Neither can be moved, because MLflow stores absolute paths of artifacts.

The path is resolved before use: in a worktree, which is removed later, it is a link to that of the checkout."""

PATIENCE_S = 10
"""How long a server may take to answer at all, s; MLflow itself would try for minutes."""
REFUSED = (401, 403)
"""HTTP status codes of a refused log-in."""


def connect() -> MlflowClient:
    """Return a client of the store; prepare the embedded one where no server is named.

    Raises:
        TransientError: If the server does not answer.
        ValueError: If it has another major version or refuses the log-in, or the embedded store cannot be made.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI") or _embedded()
    if uri.startswith("http"):
        _check_server(uri)
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    return MlflowClient(uri, uri)


def lock(name: str) -> FileLock:
    """Return a lock that the processes of this checkout share; taking it waits for up to ten minutes."""
    EMBEDDED.mkdir(parents=True, exist_ok=True)
    return FileLock(EMBEDDED / f"{name}.lock", timeout=600)


def experiment(client: MlflowClient, name: str) -> str:
    """Return the id of an experiment, which is created if it does not exist."""
    found = client.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    # MLFLOW_TRACKING_URI does not tell: mlflow sets it itself in `set_tracking_uri`.
    is_embedded = client.tracking_uri == _embedded_uri()
    place = (EMBEDDED.resolve() / "artifacts" / name).as_uri() if is_embedded else None
    return str(client.create_experiment(name, artifact_location=place))


def _embedded_uri() -> str:
    return f"sqlite:///{EMBEDDED.resolve() / 'mlflow.db'}"


def _embedded() -> str:
    database, schema = EMBEDDED.resolve() / "mlflow.db", EMBEDDED / "schema"
    uri = _embedded_uri()
    # Two processes that make the tables at once both fail: one makes them, the others wait.
    with lock("schema"):
        if not database.is_file() or not schema.is_file() or schema.read_text() != mlflow.__version__:
            command = [sys.executable, "-m", "mlflow", "db", "upgrade", uri]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
                raise ValueError(f"{database}: cannot be made ready: {last}")
            schema.write_text(mlflow.__version__)
    return uri


def _check_server(uri: str) -> None:
    try:
        with urllib.request.urlopen(f"{uri.rstrip('/')}/health", timeout=PATIENCE_S):  # noqa: S310  # http by the test above
            pass
        # Through MLflow's own client, which logs in.
        credentials = get_default_host_creds(uri)  # type: ignore[no-untyped-call]  # mlflow types a part of itself
        answer = http_request(credentials, "/version", "GET", max_retries=0, timeout=PATIENCE_S)  # type: ignore[no-untyped-call]
    except (OSError, MlflowException) as error:
        reason = getattr(error, "reason", error)
        raise TransientError(f"{uri}: no MLflow server answers there ({reason}); see MLFLOW_TRACKING_URI") from None
    if answer.status_code in REFUSED:
        raise ValueError(f"{uri}: MLflow refuses the log-in; see MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD")
    theirs, ours = answer.text.strip(), mlflow.__version__
    if theirs.partition(".")[0] != ours.partition(".")[0]:
        raise ValueError(
            f"{uri}: MLflow {theirs[:20]} answers there, this is {ours}: both must be of one major version"
        )
