"""The process in which one flow runs: `python -m pipelines.flow_process training '{"dataset": "elpv"}'`.

Exit status: 0 completed, 1 failed, 3 the gate refused. The last line says what came of it.
"""

import json
import sys
from typing import Any

from prefect.client.schemas.objects import State
from prefect.flows import Flow

from pipelines.retraining_flow import retraining
from pipelines.scoring_flow import scoring
from pipelines.sweep_flow import sweep
from pipelines.training_flow import REFUSED, training

FLOWS: dict[str, Flow[..., State[Any]]] = {
    "training": training,
    "retraining": retraining,
    "scoring": scoring,
    "sweep": sweep,
}
STATUS_REFUSED = 3


def main() -> None:
    """Run the flow that the command line names, with its parameters as JSON."""
    name, parameters = sys.argv[1], json.loads(sys.argv[2])
    state: State[Any] = FLOWS[name](**parameters, return_state=True)
    if not state.is_completed():
        sys.exit(f"error: {' '.join((state.message or str(state.name)).split())}")
    sys.stdout.write(f"{name}: {state.message or state.name}\n")
    sys.exit(STATUS_REFUSED if state.name == REFUSED else 0)


if __name__ == "__main__":
    main()
