"""The base model of work that a worker does: its states, claims and attempts.

A message wakes a worker (classifier.core.broker_messages), which claims a row here and runs it under a lease
(classifier.core.jobs, classifier.core.leases).
"""

from datetime import datetime, timedelta
from typing import Any, ClassVar, Self, TypeVar

from django.apps import apps
from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from classifier.core.clock import database_now

MAX_ATTEMPTS = 3


def first_resend_time() -> datetime:
    """Returns when the sweep sends a second message, in case the first one was lost."""
    return database_now() + timedelta(seconds=10)


def lease_duration() -> timedelta:
    """Returns how long a claim stays valid after it was made or last renewed."""
    return timedelta(seconds=settings.LEASE_SECONDS)


Work = TypeVar("Work", bound="QueuedWork")


class QueuedWorkQuerySet(models.QuerySet[Work]):
    """Selects and claims rows of queued work. `attempts_allowed` limits how often a row is claimed."""

    attempts_allowed: int | F = MAX_ATTEMPTS

    def newest_first(self) -> Self:
        return self.order_by("-created_at", "-id")

    def unfinished(self) -> Self:
        """Filters queued and running rows."""
        return self.filter(state__in=("queued", "running"))

    def claimable(self, now: datetime) -> Self:
        """Filters rows that wait for a worker, and running rows whose lease has expired."""
        waiting = Q(state="queued")
        abandoned = Q(state="running", lease_until__lt=now)
        return self.filter(waiting | abandoned, attempts__lt=self.attempts_allowed)

    def exhausted(self, now: datetime) -> Self:
        """Filters running rows whose lease expired in their last allowed attempt."""
        return self.filter(state="running", lease_until__lt=now, attempts__gte=self.attempts_allowed)

    def due_for_message(self, now: datetime) -> Self:
        """Filters claimable rows that need a message, or another one, by now."""
        return self.claimable(now).filter(send_at__lte=now)

    def claim(self, work_id: Any, lease_until: datetime | None = None) -> Work | None:
        """Claims this row for the caller and returns it, or None if it cannot be claimed.

        A single conditional UPDATE, so that only one of the workers with the same message changes the row.
        The attempt is counted before the work starts, so that work that kills its worker is not retried forever.
        """
        now = database_now()
        lease_until = lease_until or now + lease_duration()
        claimed = self.claimable(now).filter(id=work_id)
        changed = claimed.update(
            state="running",
            attempts=F("attempts") + 1,
            lease_until=lease_until,
            send_at=lease_until,
            started_at=timezone.now(),
        )
        return self.get(id=work_id) if changed else None

    def still_claimed(self, work: Work) -> Self:
        """Filters the row of `work`, as long as the claim that returned it is still valid."""
        return self.filter(id=work.pk, state="running", attempts=work.attempts)


class QueuedWork(models.Model):
    """The state, lease and attempts of a job that a worker does.

    States: queued -> running -> succeeded | failed | canceled.
    A running row is claimed again when its lease expires. Temporary errors are retried in the same way.
    """

    class State(models.TextChoices):
        QUEUED = "queued", "waiting"
        RUNNING = "running", "running"
        SUCCEEDED = "succeeded", "done"
        FAILED = "failed", "failed"
        CANCELED = "canceled", "canceled"

    # The Celery queue of this work.
    queue: ClassVar[str]
    # The error that the user reads if the worker of the last attempt ended without a result.
    given_up: ClassVar[str] = "The worker ended three times in a row without any progress, so Callus gave up."

    state = models.CharField(max_length=10, choices=State.choices, default=State.QUEUED)
    attempts = models.PositiveSmallIntegerField(default=0)
    lease_until = models.DateTimeField(null=True)
    send_at = models.DateTimeField(default=first_resend_time)
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    error = models.CharField(max_length=500, blank=True)

    class Meta:
        abstract = True

    @property
    def is_finished(self) -> bool:
        """Returns whether the state is final."""
        return self.state not in ("queued", "running")

    @property
    def is_canceling(self) -> bool:
        """Returns whether a user requested to cancel the unfinished work."""
        return False

    def conclude(self, state: str, error: str = "") -> None:
        """Records that the work ended without a result: audit entry, notification, clean-up. Does nothing by default.

        Called in the transaction that set the final state, which is "failed" or "canceled".
        """


def kinds_of_work() -> list[type[QueuedWork]]:
    """Returns the models whose rows workers process."""
    return [kind for kind in apps.get_models() if issubclass(kind, QueuedWork)]


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
