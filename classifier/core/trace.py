"""The trace id, which the log lines of a request, its task and its prediction have in common.

A request has it from its X-Request-ID, a task from its message. A prediction keeps it in its row, because a message
wakes a worker for the prediction whose turn it is, not for the one that sent it.
"""

import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from celery import Task, signals

HEADER = "X-Request-ID"
MESSAGE_HEADER = "trace"
ACCEPTABLE = re.compile(r"[A-Za-z0-9-]{8,64}")

_current: ContextVar[str] = ContextVar("trace", default="")


def current_id() -> str:
    """Returns the id of the request or task that runs here, or "" outside of both."""
    return _current.get()


@contextmanager
def follow(trace_id: str) -> Iterator[str]:
    """Use this id within the block. An empty one keeps the current id, and one that could forge a log is replaced."""
    given = trace_id or current_id()
    token = _current.set(given if ACCEPTABLE.fullmatch(given) else _new())
    try:
        yield current_id()
    finally:
        _current.reset(token)


def follow_tasks() -> None:
    """Send the id along with each message, and use it in the task that the message starts."""
    signals.before_task_publish.connect(_send_along)
    signals.task_prerun.connect(_take_over)
    signals.task_postrun.connect(_forget)


def _new() -> str:
    return uuid.uuid4().hex


def _send_along(headers: dict[str, Any], **kwargs: Any) -> None:
    headers[MESSAGE_HEADER] = current_id()


def _take_over(task: Task, **kwargs: Any) -> None:  # type: ignore[type-arg]
    _current.set(getattr(task.request, MESSAGE_HEADER, "") or _new())


def _forget(**kwargs: Any) -> None:
    _current.set("")
