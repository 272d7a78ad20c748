"""Sends queued mails. Only workers import it."""

from django.conf import settings
from django.core.mail import EmailMessage, get_connection

from classifier.core.jobs import run_claimed
from classifier.core.leases import Lease
from portal.accounts.models import OutgoingMail


def send_queued_mail(mail_id: int) -> None:
    """Claims the mail, sends it within EMAIL_TIMEOUT, and deletes its row. Does nothing if it is claimed or sent."""
    mail = OutgoingMail.objects.claim(mail_id)
    if mail is None:
        return

    def send(lease: Lease) -> None:
        connection = get_connection(settings.EMAIL_DELIVERY_BACKEND)
        EmailMessage(mail.subject, mail.body, mail.sender, mail.recipients, connection=connection).send()
        lease.row.delete()

    run_claimed(mail, send)
