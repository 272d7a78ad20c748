"""Celery tasks: an id in, one job called.

The database is the truth: a message is only a wake-up call. One that arrives twice finds nothing to do,
one that is lost is sent again by the sweep. The delivery policy stands in portal/settings.py (CELERY_TASK_*).
"""

import logging
from typing import Any

from celery import shared_task
from django.utils import timezone
from kombu.exceptions import OperationalError

from classifier.core.queue import send
from classifier.datasets.models import DatasetVersion
from classifier.datasets.tasks import build_dataset
from classifier.radiographs.models import Prediction
from classifier.radiographs.tasks import predict_next
from classifier.training.models import Comparison, TrainingRun
from classifier.training.tasks import compare, train
from portal.operations.models import QUEUES, Canary


@shared_task(name="operations.sweep")
def sweep() -> None:
    from portal.operations.sweep import sweep

    for kind, row_id in sweep():
        if kind is Prediction:
            send(predict_next)
        else:
            send(TASK_OF[kind], row_id)


@shared_task(name="operations.purge")
def purge() -> None:
    from portal.operations.purge import purge

    purge()


TASK_OF: dict[type, Any] = {
    DatasetVersion: build_dataset,
    TrainingRun: train,
    Comparison: compare,
}

log = logging.getLogger(__name__)


@shared_task(name="operations.send_canaries")
def send_canaries() -> None:
    """Has itself come through the sweep queue; sends one task into each of the others."""
    now = timezone.now()
    Canary.objects.bulk_create([Canary(queue=queue) for queue in QUEUES], ignore_conflicts=True)
    Canary.objects.filter(queue="sweep").update(sent_at=now, done_at=now)
    for queue in Canary.objects.to_send(now).exclude(queue="sweep").values_list("queue", flat=True):
        try:
            canary.apply_async(args=(queue,), queue=queue)
        except (OperationalError, OSError) as error:
            log.warning("The broker cannot be reached: %s", error)
            return
        Canary.objects.filter(queue=queue).update(sent_at=now)


@shared_task(name="operations.canary")
def canary(queue: str) -> None:
    Canary.objects.filter(queue=queue).update(done_at=timezone.now())


@shared_task(name="operations.echo")
def echo() -> None:
    """What a worker sends to itself: see portal/operations/watch.py."""
