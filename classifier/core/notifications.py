"""Notifies users in the portal and by email."""

import logging
from typing import Any

from django.conf import settings
from django.core.mail import send_mail
from django.db import transaction

from classifier.core.models import Notification

log = logging.getLogger(__name__)


def notify(user: Any, text: str, subject: Notification.Subject, subject_id: int) -> None:
    """Creates a notification, and sends an email after the transaction commits if mail is configured."""
    if user is None:
        return
    Notification.objects.create(user=user, text=text[:700], subject=subject, subject_id=subject_id)
    if settings.EMAIL_HOST and user.email:
        # Of a partial, Django could not log the error.
        transaction.on_commit(lambda: _mail(user.email, text), robust=True)


def _mail(address: str, text: str) -> None:
    try:
        send_mail("Notification from Callus", f"{text}\n\n{settings.PUBLIC_URL}\n", None, [address])
    except OSError:  # Includes smtplib's errors. The notification in the portal is kept.
        log.exception("The email to a user could not be sent")
