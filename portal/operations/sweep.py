import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from classifier.core.clock import database_now
from classifier.core.models import QueuedWork
from classifier.datasets.jobs import build
from classifier.datasets.models import DatasetVersion
from classifier.radiographs.models import Prediction
from classifier.training.jobs import compare, train
from classifier.training.models import Comparison, TrainingRun

log = logging.getLogger(__name__)
# A long queue is not a lost message: further messages for the same row are spaced out.
SEND_AGAIN_AFTER = timedelta(seconds=60)
MOST_AT_ONCE = 500
GIVEN_UP = "Callus could not finish this image in three attempts. You can try again."
WORKER_DIED = "The worker ended three times in a row without any progress, so Callus gave up."


def sweep() -> list[tuple[type[QueuedWork], Any]]:
    """Mend what lost messages and dead workers left behind; the rows to send (again), by kind and id.

    Fails what is hopeless, with a reason the user reads.
    """
    now = database_now()
    _give_up_predictions(now)
    _give_up_training(now)
    _give_up_runs_without_data()
    return [
        (kind, row_id)
        for kind in (Prediction, DatasetVersion, TrainingRun, Comparison)
        for row_id in _take_due(kind, now)
    ]


def _take_due(kind: type[QueuedWork], now: datetime) -> list[Any]:
    rows: Any = kind._default_manager.all()
    due = list(rows.due_for_message(now).order_by("send_at").values_list("id", flat=True)[:MOST_AT_ONCE])
    rows.filter(id__in=due).update(send_at=now + SEND_AGAIN_AFTER)
    return due


def _give_up_predictions(now: datetime) -> None:
    failed = Prediction.objects.exhausted(now).update(
        state=Prediction.State.FAILED, finished_at=now, lease_until=None, error=GIVEN_UP
    )
    if failed:
        log.warning("Gave up on %s predictions after their last attempt.", failed)


def _give_up_training(now: datetime) -> None:
    for run in TrainingRun.objects.exhausted(now):
        if run.cancel_requested_at:
            _end(run, now, state="canceled", error="")
        else:
            _end(run, now, state="failed", error=WORKER_DIED)
    for dataset in DatasetVersion.objects.exhausted(now):
        _end(dataset, now, state="failed", error=WORKER_DIED)
    for comparison in Comparison.objects.exhausted(now):
        _end(comparison, now, state="failed", error=WORKER_DIED)


def _end(work: Any, now: datetime, *, state: str, error: str) -> None:
    with transaction.atomic():
        hopeless = type(work).objects.exhausted(now).filter(id=work.id)
        if hopeless.update(state=state, finished_at=now, lease_until=None, error=error):
            CONCLUDE[type(work)](work, error)


def _give_up_runs_without_data() -> None:
    waiting = TrainingRun.objects.filter(state="queued", dataset_version__state__in=("failed", "canceled"))
    for run in waiting.select_related("dataset_version"):
        sentence = f"{run.dataset_version} could not be made. {run.dataset_version.error}"[:500]
        with transaction.atomic():
            still = TrainingRun.objects.filter(id=run.pk, state="queued")
            if still.update(state="failed", finished_at=timezone.now(), error=sentence):
                train.conclude_failure(run, sentence)


CONCLUDE: dict[type, Callable[[Any, str], None]] = {
    TrainingRun: train.conclude_failure,
    DatasetVersion: build.conclude_failure,
    Comparison: compare.conclude_failure,
}
