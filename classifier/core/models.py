"""Rows that a worker works off: how one is claimed, held, sent again, and given up."""

import time
from datetime import datetime, timedelta
from typing import Any, ClassVar, Self, TypeVar

from django.apps import apps
from django.conf import settings
from django.contrib.auth.models import AbstractUser
from django.db import connection, models
from django.db.models import F, Q
from django.utils import timezone

from classifier.core.clock import database_now


class Site(models.Model):
    """A hospital, ward or practice whose people use this portal.

    X-rays of its people become training data only if it allows that.
    """

    name = models.CharField(max_length=200, unique=True)
    allows_training = models.BooleanField(
        default=False,
        help_text="Reviewed X-rays that this site's people sent may become part of a data set version.",
    )

    def __str__(self) -> str:
        return self.name


class User(AbstractUser):
    """A person who signs in. Our own class from the first migration, so that it can grow."""

    site = models.ForeignKey(Site, null=True, blank=True, on_delete=models.SET_NULL, related_name="users")


MAX_ATTEMPTS = 3


def first_sweep() -> datetime:
    """When the sweep sends a message of its own, should the first one be lost."""
    return database_now() + timedelta(seconds=10)


def lease() -> timedelta:
    """How long a worker holds a row without a sign of progress."""
    return timedelta(seconds=settings.LEASE_SECONDS)


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

    def claim(self, work_id: Any, lease_until: datetime | None = None) -> Work | None:
        """Give this row to the caller, or None when there is nothing to do.

        One conditional UPDATE: of any number of workers with the same message, one changes the row.
        The attempt is counted before the work, so that work that kills its worker is not tried again without end.
        """
        now = database_now()
        lease_until = lease_until or now + lease()
        claimed = self.claimable(now).filter(id=work_id)
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

    # The queue whose workers take this kind of work.
    queue: ClassVar[str]
    # The error that the person reads when the last attempt ended without a word from its worker.
    given_up: ClassVar[str] = "The worker ended three times in a row without any progress, so Callus gave up."

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

    @property
    def is_canceling(self) -> bool:
        """Whether a person asked for it to be stopped."""
        return False

    def conclude(self, state: str, error: str = "") -> None:
        """Record that the work ended without a result: audit entry, notification, clean-up.

        Called in the transaction that set the final state, which is "failed" or "canceled". A kind of work that
        records nothing leaves this as it is.
        """


def kinds_of_work() -> list[type[QueuedWork]]:
    """Returns the models whose rows workers process."""
    return [kind for kind in apps.get_models() if issubclass(kind, QueuedWork)]


class AuditEntryQuerySet(models.QuerySet["AuditEntry"]):
    def newest_first(self) -> "AuditEntryQuerySet":
        return self.order_by("-id")

    def about(self, thing: models.Model) -> "AuditEntryQuerySet":
        return self.filter(subject=subject_of(thing), subject_id=str(thing.pk))

    def record(self, *, actor: Any, action: str, about: models.Model, **detail: Any) -> "AuditEntry":
        """Note who did what; the actor is None when Callus itself did it."""
        return self.create(
            actor=actor,
            actor_name=actor.get_username() if actor else "",
            action=action,
            subject=subject_of(about),
            subject_id=str(about.pk),
            subject_name=str(about),
            detail=detail,
        )


def subject_of(thing: models.Model) -> str:
    return str(thing._meta.verbose_name)


class AuditEntry(models.Model):
    """Who did what, and when. Append-only; it keeps the names of people and things that are gone."""

    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    actor_name = models.CharField(max_length=150, blank=True)
    action = models.CharField(max_length=50)
    # What it was done to: "training run", "model version", ...
    subject = models.CharField(max_length=50)
    subject_id = models.CharField(max_length=50)
    subject_name = models.CharField(max_length=300)
    detail = models.JSONField(default=dict)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = AuditEntryQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "audit entries"

    def __str__(self) -> str:
        return f"{self.actor_name or 'Callus'}: {self.action}, {self.subject_name}"


class NotificationQuerySet(models.QuerySet["Notification"]):
    def of(self, user: Any) -> "NotificationQuerySet":
        return self.filter(user=user).order_by("-id")

    def unread(self) -> "NotificationQuerySet":
        return self.filter(read_at=None)

    def mark_read(self) -> int:
        return self.unread().update(read_at=timezone.now())


class Notification(models.Model):
    """Tells a user that something they started is finished or failed."""

    class Subject(models.TextChoices):
        """What it is about; the portal has a page of the same name for each."""

        DATASET_VERSION = "dataset_version", "data set version"
        TRAINING_RUN = "training_run", "training run"
        COMPARISON = "comparison", "comparison"

    # No index of its own: notification_newest begins with it.
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="notifications", db_index=False
    )
    text = models.CharField(max_length=700)
    subject = models.CharField(max_length=20, choices=Subject.choices)
    subject_id = models.PositiveBigIntegerField()
    created_at = models.DateTimeField(auto_now_add=True)
    read_at = models.DateTimeField(null=True)

    objects = NotificationQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["user", "-id"], name="notification_newest"),
            models.Index(
                fields=["user", "-id"], name="notification_unread", condition=models.Q(read_at=None)
            ),
        ]

    def __str__(self) -> str:
        return self.text


UPSERT = """
INSERT INTO {table} (who, since, number) VALUES (%s, %s, 1)
ON CONFLICT (who) DO UPDATE SET
    number = CASE WHEN {table}.since > %s THEN {table}.number + 1 ELSE 1 END,
    since = CASE WHEN {table}.since > %s THEN {table}.since ELSE excluded.since END
RETURNING number, since
"""


class WriteCountQuerySet(models.QuerySet["WriteCount"]):
    def add_one(self, who: str, seconds: float) -> tuple[int, float]:
        """Count a write; how many that makes in this span of so many seconds, and how many are left of it.

        One statement, so that of writes at the same moment each is counted.
        """
        now = time.time()
        with connection.cursor() as cursor:
            ends = now - seconds
            cursor.execute(UPSERT.format(table=self.model._meta.db_table), [who, now, ends, ends])
            number, since = cursor.fetchone()
        return number, since + seconds - now

    def past(self, seconds: float) -> "WriteCountQuerySet":
        return self.filter(since__lt=time.time() - seconds)


class WriteCount(models.Model):
    """How often somebody wrote through the API since a moment, in seconds as time.time() has them."""

    who = models.CharField(max_length=100, primary_key=True)
    since = models.FloatField()
    number = models.PositiveIntegerField()

    objects = WriteCountQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{self.who}: {self.number}"
