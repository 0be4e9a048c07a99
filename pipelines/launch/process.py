"""The process in which one flow runs: `python -m pipelines.launch.process training '{"dataset": "elpv"}'`.

Exit status: 0 completed, 1 failed, 3 the gate refused. The last line states the result.
"""

import importlib
import json
import sys
from typing import Any

from prefect.client.schemas.objects import State
from prefect.flows import Flow

from pipelines.launch.check_server import check_server
from pipelines.launch.launcher import AWAIT, START_S
from pipelines.launch.states import REFUSED
from pipelines.options import STATUS_REFUSED
from stages.command import leave_at_once


def main() -> None:
    """Run the flow that the command line names, with its parameters as JSON."""
    leave_at_once()
    name, parameters = sys.argv[1], json.loads(sys.argv[2])
    # Only this one of the four flows is imported: each loads libraries of its own.
    flow: Flow[..., State[Any]] = getattr(importlib.import_module(f"pipelines.flows.{name}"), name)
    awaits = AWAIT in sys.argv[3:]
    if awaits:
        # Used while the server still loads: otherwise MLflow would import it at the first use of a store.
        importlib.import_module("mlflow.store.tracking.sqlalchemy_store")
    try:
        check_server(START_S if awaits else 0)
    except ValueError as error:
        sys.exit(f"error: {error}")
    state: State[Any] = flow(**parameters, return_state=True)
    if not state.is_completed():
        sys.exit(f"error: {' '.join((state.message or str(state.name)).split())}")
    sys.stdout.write(f"{name}: {state.message or state.name}\n")
    sys.exit(STATUS_REFUSED if state.name == REFUSED else 0)


if __name__ == "__main__":
    main()
