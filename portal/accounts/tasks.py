"""Celery tasks of accounts. Each calls one job."""

from celery import shared_task


@shared_task(name="accounts.send_mail")
def send_mail(mail_id: int) -> None:
    """Sends a queued mail."""
    from portal.accounts.jobs import send_queued_mail

    send_queued_mail(mail_id)
