"""Rows that a worker works off: how one is claimed, held, sent again, and given up."""

from datetime import datetime, timedelta
from typing import Any, Self, TypeVar

from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from classifier.clock import database_now

MAX_ATTEMPTS = 3


def first_sweep() -> datetime:
    """When the sweep sends a message of its own, should the first one be lost."""
    return database_now() + timedelta(seconds=10)


Work = TypeVar("Work", bound="QueuedWork")


class QueuedWorkQuerySet(models.QuerySet[Work]):
    attempts_allowed: int | F = MAX_ATTEMPTS

    def newest_first(self) -> Self:
        return self.order_by("-created_at", "-id")

    def unfinished(self) -> Self:
        return self.filter(state__in=("queued", "running"))

    def claimable(self, now: datetime) -> Self:
        """Waiting for a worker, or left by one that has been silent past its lease."""
        waiting = Q(state="queued")
        abandoned = Q(state="running", lease_until__lt=now)
        return self.filter(waiting | abandoned, attempts__lt=self.attempts_allowed)

    def hopeless(self, now: datetime) -> Self:
        """Left by their worker at the last attempt."""
        return self.filter(state="running", lease_until__lt=now, attempts__gte=self.attempts_allowed)

    def to_send(self, now: datetime) -> Self:
        """Claimable, and due for a (further) message."""
        return self.claimable(now).filter(send_at__lte=now)

    def claim(self, work_id: Any, lease_until: datetime) -> Work | None:
        """Give this row to the caller, or None when there is nothing to do.

        One conditional UPDATE: of any number of workers with the same message, one changes the row.
        The attempt is counted before the work, so that what kills its worker is not tried for ever.
        """
        claimed = self.claimable(database_now()).filter(id=work_id)
        changed = claimed.update(
            state="running",
            attempts=F("attempts") + 1,
            lease_until=lease_until,
            send_at=lease_until,
            started_at=timezone.now(),
        )
        return self.get(id=work_id) if changed else None

    def held_by(self, work: Work) -> Self:
        """The row, as long as the claim that `work` came from still holds."""
        return self.filter(id=work.pk, state="running", attempts=work.attempts)


class QueuedWork(models.Model):
    """queued -> running -> succeeded | failed | canceled.

    A running one is claimed anew when its lease runs out, which is also how a temporary error is tried again.
    """

    class State(models.TextChoices):
        QUEUED = "queued", "waiting"
        RUNNING = "running", "running"
        SUCCEEDED = "succeeded", "done"
        FAILED = "failed", "failed"
        CANCELED = "canceled", "canceled"

    state = models.CharField(max_length=10, choices=State.choices, default=State.QUEUED)
    attempts = models.PositiveSmallIntegerField(default=0)
    lease_until = models.DateTimeField(null=True)
    send_at = models.DateTimeField(default=first_sweep)
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    error = models.CharField(max_length=500, blank=True)

    class Meta:
        abstract = True

    @property
    def is_finished(self) -> bool:
        return self.state not in ("queued", "running")
