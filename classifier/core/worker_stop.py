"""Whether this worker was asked to stop: long work then hands itself back instead of holding up the stop.

Celery tells its main process alone, while jobs run in a process forked from it; hence the shared flag.
"""

import multiprocessing
from typing import Any

from celery.signals import worker_init, worker_shutting_down

_asked = multiprocessing.get_context("fork").Event()


def is_asked() -> bool:
    return _asked.is_set()


@worker_init.connect  # type: ignore[untyped-decorator]
def _start(**kwargs: Any) -> None:
    _asked.clear()


@worker_shutting_down.connect  # type: ignore[untyped-decorator]
def _stop(**kwargs: Any) -> None:
    _asked.set()
