"""Pools of worker processes that exit when their parent process does."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any


def num_processes() -> int:
    """Returns the number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def process_pool(initializer: Callable[..., None] | None = None, *arguments: Any) -> ProcessPoolExecutor:
    """Returns a pool with one process for each available processor.

    Args:
        initializer: Called once in each process before its first task.
        arguments: Positional arguments of the initializer.
    """
    return ProcessPoolExecutor(num_processes(), initializer=_initialize, initargs=(initializer, arguments))


def _initialize(initializer: Callable[..., None] | None, arguments: tuple[Any, ...]) -> None:
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    if initializer is not None:
        initializer(*arguments)


def _exit_with_parent() -> None:
    # A parent that is killed cannot shut its pool down; its workers would wait for tasks forever.
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
