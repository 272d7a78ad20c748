"""Test tasks: they prove that a queue is worked on, and that a worker hears what it is sent."""

import logging

from celery import shared_task
from django.utils import timezone
from kombu.exceptions import OperationalError

from portal.models import QUEUES, Canary

log = logging.getLogger(__name__)


@shared_task(name="portal.send_canaries")
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


@shared_task(name="portal.canary")
def canary(queue: str) -> None:
    Canary.objects.filter(queue=queue).update(done_at=timezone.now())


@shared_task(name="portal.echo")
def echo() -> None:
    """What a worker sends to itself: see portal/watch.py."""
