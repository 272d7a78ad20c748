"""Mails that wait to be sent."""

import logging

from django.db import models

from classifier.core.queued_work import QueuedWork, QueuedWorkQuerySet

log = logging.getLogger(__name__)


class OutgoingMailQuerySet(QueuedWorkQuerySet["OutgoingMail"]):
    """Claims mails. A mail server may be away for a quarter of an hour."""

    attempts_allowed = 60


class OutgoingMail(QueuedWork):
    """A row is a plain-text mail that waits for a worker to send it.

    Mails contain links that open accounts, so a row is deleted when it is sent or given up, and is in no backup.
    """

    queue = "sweep"
    given_up = "The mail server could not be reached."

    subject = models.CharField(max_length=500)
    body = models.TextField()
    sender = models.CharField(max_length=320)
    recipients = models.JSONField(default=list)

    objects = OutgoingMailQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(
                fields=["send_at"],
                name="mail_unfinished",
                condition=models.Q(state__in=["queued", "running"]),
            )
        ]

    def __str__(self) -> str:
        return f"mail {self.pk}"

    def conclude(self, state: str, error: str = "") -> None:
        log.error("Mail %s was not sent: %s", self.pk, error)
        OutgoingMail.objects.filter(pk=self.pk).delete()
