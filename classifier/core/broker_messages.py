"""Sends the messages that wake workers. They carry no state; classifier.core.queued_work has it."""

import logging
from typing import Any

from django.db import transaction
from kombu.exceptions import OperationalError

from classifier.core import worker_stop  # noqa: F401 - its flag is made before the worker forks

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
