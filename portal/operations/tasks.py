"""Celery tasks of operations. Each calls one job.

The database is the source of truth, and a message only wakes a worker: a duplicate finds nothing to do, and the sweep
replaces a lost one. portal/settings.py (CELERY_TASK_*) sets the delivery policy.
"""

import logging
from typing import Any

from celery import shared_task
from django.utils import timezone
from kombu.exceptions import OperationalError

from classifier.core.broker_messages import send
from classifier.datasets.models import DatasetVersion
from classifier.datasets.tasks import build_dataset
from classifier.radiographs.models import Prediction
from classifier.radiographs.tasks import predict_next
from classifier.training.models import Comparison, Recalibration, TrainingRun
from classifier.training.tasks import compare, recalibrate, train
from portal.accounts.models import OutgoingMail
from portal.accounts.tasks import send_mail
from portal.operations.models import QUEUES, Canary


@shared_task(name="operations.sweep")
def sweep() -> None:
    """Runs the sweep and sends the messages that it asks for."""
    from portal.operations.sweep import sweep

    for kind, row_id in sweep():
        if kind is Prediction:
            send(predict_next)
        else:
            send(TASK_OF[kind], row_id)


@shared_task(name="operations.purge")
def purge() -> None:
    """Runs the daily purge."""
    from portal.operations.purge import purge

    purge()


TASK_OF: dict[type, Any] = {
    DatasetVersion: build_dataset,
    TrainingRun: train,
    Comparison: compare,
    Recalibration: recalibrate,
    OutgoingMail: send_mail,
}

log = logging.getLogger(__name__)


@shared_task(name="operations.send_canaries")
def send_canaries() -> None:
    """Records that the sweep queue is served, and sends a test task to each of the other queues."""
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
    """Records that a test task arrived through the queue."""
    Canary.objects.filter(queue=queue).update(done_at=timezone.now())


@shared_task(name="operations.echo")
def echo() -> None:
    """Does nothing. Workers send it to themselves; see portal/operations/watch.py."""
