"""Sends messages that wake workers, and lists the jobs ahead of a queued one.

The rows are claimed in classifier.core.models, and held by a lease in classifier.core.jobs.
"""

import logging
from typing import Any

from django.db import transaction
from kombu.exceptions import OperationalError

from classifier.core import worker_stop  # noqa: F401 - its flag is made before the worker forks
from classifier.core.models import QueuedWork, kinds_of_work

log = logging.getLogger(__name__)


def send(task: Any, *arguments: int) -> None:
    """Sends the task's message. If the broker cannot be reached, the sweep sends it later."""
    try:
        task.delay(*arguments)
    except (OperationalError, OSError) as error:
        log.warning(
            "The broker cannot be reached (%s); %s %s waits for the sweep.", error, task.name, arguments
        )


def send_on_commit(task: Any, *arguments: int) -> None:
    """Sends the task's message when the current transaction commits."""
    # robust=True, because the rows are committed by then: a broker error must not turn success into failure.
    transaction.on_commit(lambda: send(task, *arguments), robust=True)


def ahead_of(work: QueuedWork) -> list[QueuedWork]:
    """Lists the unfinished jobs ahead of a queued one in the same queue: running jobs first, then older requests."""
    if work.state != "queued":
        return []
    ahead: list[QueuedWork] = []
    for kind in kinds_of_work():
        if kind.queue == work.queue:
            unfinished = kind._default_manager.filter(state__in=("queued", "running"))
            ahead += unfinished.filter(created_at__lt=work.created_at)
    return sorted(ahead, key=lambda other: (other.state != "running", other.created_at))
