"""Processes that share heavy work, and that do not outlive the one they work for."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any


def num_workers() -> int:
    """One worker for each processor that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def worker_pool(set_up: Callable[..., None] | None = None, *arguments: Any) -> ProcessPoolExecutor:
    """A pool whose workers first call set_up with the arguments, and end when this process is gone."""
    return ProcessPoolExecutor(num_workers(), initializer=_begin, initargs=(set_up, arguments))


def _begin(set_up: Callable[..., None] | None, arguments: tuple[Any, ...]) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if set_up is not None:
        set_up(*arguments)


def _end_with_parent() -> None:
    # A killed parent cannot tell its workers; they would wait for work for ever.
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
