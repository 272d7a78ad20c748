"""The trace id, which the log lines of a request, its task and its prediction have in common."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

current: ContextVar[str] = ContextVar("trace", default="")


def new() -> str:
    """Returns a new random trace id."""
    return uuid.uuid4().hex


@contextmanager
def follow(trace_id: str) -> Iterator[None]:
    """Sets the trace id for the log lines written inside the `with` block."""
    token = current.set(trace_id)
    try:
        yield
    finally:
        current.reset(token)
