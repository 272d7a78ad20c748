"""Sends mails through the queue, so that no page waits for the mail server."""

from collections.abc import Sequence
from typing import Any

from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend
from django.db import transaction

from classifier.core.broker_messages import send_on_commit
from portal.accounts.models import OutgoingMail
from portal.accounts.tasks import send_mail


class QueueBackend(BaseEmailBackend):
    """Django's email backend of all processes: writes a row for each mail."""

    def __init__(self, fail_silently: bool = False, **kwargs: Any) -> None:
        super().__init__(fail_silently=fail_silently)

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        """Queues the mails, which are plain text without attachments, and returns their number."""
        with transaction.atomic():
            for message in email_messages:
                mail = OutgoingMail.objects.create(
                    subject=str(message.subject)[:500],
                    body=str(message.body),
                    sender=message.from_email,
                    recipients=message.recipients(),
                )
                send_on_commit(send_mail, mail.pk)
        return len(email_messages)
