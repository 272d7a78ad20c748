"""Says whether this worker was asked to stop, so that a long job returns to the queue instead of delaying the stop.

Celery signals the stop in its main process only, while jobs run in forked processes. The flag is therefore shared.
"""

import multiprocessing
from typing import Any

from celery.signals import worker_init, worker_shutting_down

_stop_requested = multiprocessing.get_context("fork").Event()


class WorkerStopping(Exception):
    """This worker was asked to stop."""


def raise_if_requested() -> None:
    """Raises: WorkerStopping"""
    if _stop_requested.is_set():
        raise WorkerStopping("the worker stops")


@worker_init.connect  # type: ignore[untyped-decorator]
def _start(**kwargs: Any) -> None:
    _stop_requested.clear()


@worker_shutting_down.connect  # type: ignore[untyped-decorator]
def _stop(**kwargs: Any) -> None:
    _stop_requested.set()
