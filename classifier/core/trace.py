"""The one id that a request, the task it causes and the result they lead to share in the logs."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

current: ContextVar[str] = ContextVar("trace", default="")


def new() -> str:
    return uuid.uuid4().hex


@contextmanager
def follow(trace_id: str) -> Iterator[None]:
    token = current.set(trace_id)
    try:
        yield
    finally:
        current.reset(token)
