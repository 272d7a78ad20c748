from typing import Any

from django.conf import settings
from django.db import models
from django.utils import timezone


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
