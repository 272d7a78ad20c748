"""Finds the work that lost messages and dead workers left behind: ends it, or sends it again."""

import logging
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from classifier.core.clock import database_now
from classifier.core.queued_work import QueuedWork, kinds_of_work
from classifier.training.models import TrainingRun

log = logging.getLogger(__name__)
# A long queue is not a lost message: further messages for the same row are spaced out.
SEND_AGAIN_AFTER = timedelta(seconds=60)
MOST_AT_ONCE = 500


def sweep() -> list[tuple[type[QueuedWork], Any]]:
    """Fail the rows whose last attempt ended without a result, with an error that the person reads.

    Returns:
        The rows to send (again), by kind and id.
    """
    now = database_now()
    kinds = kinds_of_work()
    for kind in kinds:
        _give_up(kind, now)
    _give_up_runs_without_data()
    return [(kind, row_id) for kind in kinds for row_id in _take_due(kind, now)]


def _take_due(kind: type[QueuedWork], now: datetime) -> list[Any]:
    rows: Any = kind._default_manager.all()
    due = list(rows.due_for_message(now).order_by("send_at").values_list("id", flat=True)[:MOST_AT_ONCE])
    rows.filter(id__in=due).update(send_at=now + SEND_AGAIN_AFTER)
    return due


def _give_up(kind: type[QueuedWork], now: datetime) -> None:
    rows: Any = kind._default_manager.all()
    for work in rows.exhausted(now):
        state, error = ("canceled", "") if work.is_canceling else ("failed", kind.given_up)
        _end(work, rows.exhausted(now), state, error)


def _give_up_runs_without_data() -> None:
    waiting = TrainingRun.objects.filter(state="queued", dataset_version__state__in=("failed", "canceled"))
    for run in waiting.select_related("dataset_version"):
        error = f"{run.dataset_version} could not be made. {run.dataset_version.error}"[:500]
        _end(run, TrainingRun.objects.filter(state="queued"), "failed", error)


def _end(work: QueuedWork, still: Any, state: str, error: str) -> None:
    """End the row unless a worker or another sweep changed it first.

    Args:
        still: the rows of this kind that are in the condition for which this one is ended.
    """
    with transaction.atomic():
        ended = still.filter(id=work.pk)
        if ended.update(state=state, finished_at=timezone.now(), lease_until=None, error=error):
            log.warning("Gave up on %s %s", work._meta.verbose_name, work.pk)
            work.conclude(state, error)
