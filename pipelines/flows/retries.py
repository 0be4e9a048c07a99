"""Tasks that Prefect runs again after a while, but only if they failed with a `TransientError`.

Such a task returns a failed state rather than raise, because a traceback would say no more than the error's one line.
"""

import functools
import subprocess
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, TypeVar, cast

import sqlalchemy.exc
from filelock import Timeout
from mlflow.exceptions import MlflowException
from prefect import task
from prefect.client.schemas.objects import State, TaskRun
from prefect.states import Failed
from prefect.tasks import Task

from pipelines.errors import TransientError

P = ParamSpec("P")
R = TypeVar("R")

ERRORS = (ValueError, OSError, MlflowException, sqlalchemy.exc.SQLAlchemyError, Timeout, subprocess.SubprocessError)
"""What a user or a server can cause. Anything else is a bug and keeps its traceback."""
TRANSIENT = "Transient"
"""Name of a failed state that another attempt may mend."""


def with_retries(function: Callable[P, R], name: str, run_name: str, wait_s: Sequence[float]) -> "Task[..., Any]":
    """Make a task of a function.

    Args:
        function: Body of the task.
        name: Name of the task.
        run_name: Name of a run of the task; parameters of `function` in braces are filled in.
        wait_s: Pauses before each further attempt, s; varied a little, so that many tasks do not come back at once.
    """

    @functools.wraps(function)
    def body(*args: P.args, **kwargs: P.kwargs) -> R | State[Any]:
        try:
            return function(*args, **kwargs)
        except TransientError as error:
            return Failed(name=TRANSIENT, message=one_line(error))
        except ERRORS as error:
            return Failed(message=one_line(error))

    make = task(
        name=name,
        task_run_name=run_name,
        retries=len(wait_s),
        retry_delay_seconds=list(wait_s),
        retry_jitter_factor=0.2,
        retry_condition_fn=_passes,
        persist_result=False,
    )
    made: Task[..., Any] = make(body)
    return made


def run_with_retries(
    function: Callable[P, R], name: str, wait_s: Sequence[float], *args: P.args, **kwargs: P.kwargs
) -> R:
    """Run a function as a task of `with_retries`, here and now, and return its result.

    Raises:
        ValueError: If it fails in the end.
    """
    state = cast("State[Any]", with_retries(function, name, name, wait_s)(*args, return_state=True, **kwargs))
    if not state.is_completed():
        raise ValueError(state.message or state.name)
    result: R = state.result()
    return result


def one_line(error: Exception) -> str:
    """Return the message of an error as one line."""
    return " ".join(str(error).split())[:2000] or type(error).__name__


def _passes(task: "Task[..., Any]", run: TaskRun, state: State[Any]) -> bool:
    del task, run
    return state.name == TRANSIENT
