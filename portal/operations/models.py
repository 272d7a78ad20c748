"""Test tasks that show whether each queue has a working worker."""

from datetime import datetime, timedelta
from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils import timezone

QUEUES = ("predict", "sweep", "train")


class CanaryQuerySet(models.QuerySet["Canary"]):
    """Selects queues by the state of their test tasks."""

    def to_send(self, now: datetime) -> Self:
        """Filters queues that need a new test task.

        Each queue has at most one test task at a time, so a queue with busy workers does not fill up. A test task that
        does not arrive for a long time is assumed to be lost, unless a worker of the queue is busy.
        """
        has_arrived = Q(sent_at=None) | Q(done_at__gte=F("sent_at"))
        long_ago = now - stale_after()
        lost = Q(sent_at__lt=long_ago) & (Q(busy_at=None) | Q(busy_at__lt=long_ago))
        return self.filter(has_arrived | lost)


class Canary(models.Model):
    """A row states when a test task was last sent to a queue and when it last arrived.

    A worker with a long task receives no test tasks, so it sets `busy_at` instead.
    """

    queue = models.CharField(max_length=20, primary_key=True)
    sent_at = models.DateTimeField(null=True)
    done_at = models.DateTimeField(null=True)
    busy_at = models.DateTimeField(null=True)

    objects = CanaryQuerySet.as_manager()

    def __str__(self) -> str:
        return self.queue

    @property
    def last_sign(self) -> datetime | None:
        """Returns when a worker of the queue last showed activity."""
        return max((sign for sign in (self.done_at, self.busy_at) if sign), default=None)

    @property
    def is_alive(self) -> bool:
        """Returns whether a worker of the queue showed activity recently."""
        return self.last_sign is not None and self.last_sign > timezone.now() - stale_after()


def stale_after() -> timedelta:
    """Returns the time without activity after which a queue counts as not served."""
    return timedelta(seconds=6 * settings.CANARY_SECONDS)
