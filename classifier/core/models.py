"""Users and their sites, the audit log, notifications and the counter of API writes."""

import time
import unicodedata
from typing import Any, ClassVar

from django.conf import settings
from django.contrib.auth.models import AbstractUser
from django.contrib.auth.models import UserManager as DjangoUserManager
from django.contrib.contenttypes.models import ContentType
from django.db import connection, models
from django.db.models.functions import Upper
from django.utils import timezone

from classifier.core import user_names


class Site(models.Model):
    """A row is a hospital, department or practice whose staff use this portal.

    X-rays of its users become training data only if `allows_training` is set.
    """

    name = models.CharField(max_length=200, unique=True)
    allows_training = models.BooleanField(
        default=False,
        help_text="Reviewed X-rays uploaded by this site's users may become part of a data set version.",
    )

    def __str__(self) -> str:
        return self.name


TAKEN = "A user with that username already exists."


class UserManager(DjangoUserManager["User"]):
    """Creates users, and lets changes of who is an admin wait for each other."""

    use_in_migrations = False

    def get_by_natural_key(self, username: str | None) -> "User":
        """Returns the user with this name in any case. `createsuperuser` looks for existing names with it."""
        return self.get(username__iexact=username)

    def lock_admins(self) -> None:
        """Waits for other transactions that called this, so that who checks which admins exist can act on it.

        Locks the content type of users, a row that always exists. SQLite has only one writer at a time.
        """
        ContentType.objects.select_for_update().filter(app_label="core", model="user").values_list(
            "id"
        ).first()


class User(AbstractUser):
    """A row is a person who signs in. A custom model from the first migration on, so that fields can be added."""

    username = models.CharField(
        max_length=150,
        unique=True,
        help_text=user_names.HELP_TEXT,
        validators=[user_names.check_letters, user_names.check_not_reserved],
        error_messages={"unique": TAKEN},
    )
    site = models.ForeignKey(Site, null=True, blank=True, on_delete=models.SET_NULL, related_name="users")

    objects: ClassVar[UserManager] = UserManager()

    class Meta(AbstractUser.Meta):
        constraints = [
            # Names are not case-sensitive when people sign in. Upper, because iexact searches with it.
            models.UniqueConstraint(
                Upper("username"), name="username_in_any_case", violation_error_message=TAKEN
            )
        ]

    def set_password(self, raw_password: str | None) -> None:
        """Sets the password in Unicode normalization form KC: keyboards send the same characters in several forms."""
        super().set_password(_normalized(raw_password))

    def check_password(self, raw_password: str | None) -> bool:
        """Returns whether this is the password, in any Unicode form."""
        return super().check_password(_normalized(raw_password))


def _normalized(password: str | None) -> str | None:
    return None if password is None else unicodedata.normalize("NFKC", password)


class AuditEntryQuerySet(models.QuerySet["AuditEntry"]):
    """Reads the audit log and adds entries to it."""

    def newest_first(self) -> "AuditEntryQuerySet":
        return self.order_by("-id")

    def about(self, row: models.Model) -> "AuditEntryQuerySet":
        """Filters the entries about this row."""
        return self.filter(subject=subject_of(row), subject_id=str(row.pk))

    def record(self, *, actor: Any, action: str, about: models.Model, **detail: Any) -> "AuditEntry":
        """Adds an entry and returns it. `actor` is None for actions of Callus itself."""
        return self.create(
            actor=actor,
            actor_name=actor.get_username() if actor else "",
            action=action,
            subject=subject_of(about),
            subject_id=str(about.pk),
            subject_name=str(about),
            detail=detail,
        )


def subject_of(row: models.Model) -> str:
    """Returns the kind of row as the audit log names it, such as "training run"."""
    return str(row._meta.verbose_name)


class AuditEntry(models.Model):
    """A row is one action: who did what, and when.

    Append-only. It stores names, so that entries stay readable after the user or the object is deleted.
    """

    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    actor_name = models.CharField(max_length=150, blank=True)
    action = models.CharField(max_length=50)
    # The kind of object: "training run", "model version", ...
    subject = models.CharField(max_length=50)
    subject_id = models.CharField(max_length=50)
    subject_name = models.CharField(max_length=300)
    detail = models.JSONField(default=dict)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = AuditEntryQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "audit entries"
        indexes = [models.Index(fields=["subject_id"], name="audit_entry_subject")]

    def __str__(self) -> str:
        return f"{self.actor_name or 'Callus'}: {self.action}, {self.subject_name}"


class NotificationQuerySet(models.QuerySet["Notification"]):
    """Reads notifications and marks them as read."""

    def for_user(self, user: Any) -> "NotificationQuerySet":
        return self.filter(user=user).order_by("-id")

    def unread(self) -> "NotificationQuerySet":
        return self.filter(read_at=None)

    def mark_read(self) -> int:
        """Marks the unread ones as read and returns their number."""
        return self.unread().update(read_at=timezone.now())


class Notification(models.Model):
    """A row is a message to a user: a job that they started has finished or failed."""

    class Subject(models.TextChoices):
        """What the notification is about. Each value is also the name of the URL of its page."""

        DATASET_VERSION = "dataset_version", "data set version"
        TRAINING_RUN = "training_run", "training run"
        COMPARISON = "comparison", "comparison"
        RECALIBRATION = "recalibration", "recalibration"
        PROMOTION_REQUEST = "promotion_request", "promotion request"

    # db_index=False, because the index notification_newest starts with this column.
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
    """Counts API writes per client."""

    def add_one(self, who: str, seconds: float) -> tuple[int, float]:
        """Counts one write of a client.

        A single statement, so that concurrent writes are all counted.

        Returns:
            The number of writes in the current period of `seconds`, and the seconds until the period ends.
        """
        now = time.time()
        with connection.cursor() as cursor:
            ends = now - seconds
            cursor.execute(UPSERT.format(table=self.model._meta.db_table), [who, now, ends, ends])
            number, since = cursor.fetchone()
        return number, since + seconds - now

    def expired(self, seconds: float) -> "WriteCountQuerySet":
        """Filters counters whose period started more than `seconds` ago."""
        return self.filter(since__lt=time.time() - seconds)


class WriteCount(models.Model):
    """A row counts the API writes of one client since the Unix time `since`."""

    who = models.CharField(max_length=100, primary_key=True)
    since = models.FloatField()
    number = models.PositiveIntegerField()

    objects = WriteCountQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{self.who}: {self.number}"
