from datetime import datetime, timedelta
from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils import timezone

QUEUES = ("predict", "sweep", "train")


class CanaryQuerySet(models.QuerySet["Canary"]):
    def to_send(self, now: datetime) -> Self:
        """Queues that a new test task may go to.

        One at a time in a queue: a queue whose workers are busy does not fill with them. One that did not come
        through for long was lost with its broker; while a worker is busy, it is merely waiting.
        """
        came_through = Q(sent_at=None) | Q(done_at__gte=F("sent_at"))
        long_ago = now - stale_after()
        lost = Q(sent_at__lt=long_ago) & (Q(busy_at=None) | Q(busy_at__lt=long_ago))
        return self.filter(came_through | lost)


class Canary(models.Model):
    """One row a queue: when a test task was last sent into it, and last came through it.

    A worker at work on a long task takes no other, however well it is: such a worker says that it is busy.
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
        return max((sign for sign in (self.done_at, self.busy_at) if sign), default=None)

    @property
    def is_alive(self) -> bool:
        return self.last_sign is not None and self.last_sign > timezone.now() - stale_after()


def stale_after() -> timedelta:
    """A queue that showed no sign of life for so long is not worked on."""
    return timedelta(seconds=6 * settings.CANARY_SECONDS)
