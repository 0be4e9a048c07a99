"""Tasks that Prefect tries again after a while, if what went wrong may pass: the network, a lock; nothing else.

A task says so by the name of the failed state that it returns. It returns it rather than raise, because a traceback
would say nothing more.
"""

from collections.abc import Callable, Sequence
from typing import Any

from prefect import task
from prefect.client.schemas.objects import State, TaskRun
from prefect.states import Failed
from prefect.tasks import Task

PASSING = "Passing"


def patient(function: Callable[..., Any], name: str, run_name: str, wait_s: Sequence[float]) -> "Task[..., Any]":
    """Make a task of a function.

    Args:
        function: Its body.
        name: Of the task.
        run_name: Of one run of it; parameters in braces.
        wait_s: Before each further attempt; a little more or less, so that many do not come back at once.
    """
    return task(
        function,
        name=name,
        task_run_name=run_name,
        retries=len(wait_s),
        retry_delay_seconds=list(wait_s),
        retry_jitter_factor=0.2,
        retry_condition_fn=_passes,
        persist_result=False,
    )


def passing(error: Exception) -> State[Any]:
    """The state of a failure that may pass."""
    return Failed(name=PASSING, message=_line(error))


def lasting(error: Exception) -> State[Any]:
    """The state of a failure that stays."""
    return Failed(message=_line(error))


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:2000] or type(error).__name__


def _passes(task: "Task[..., Any]", run: TaskRun, state: State[Any]) -> bool:
    del task, run
    return state.name == PASSING
