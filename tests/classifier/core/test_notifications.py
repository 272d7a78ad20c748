"""Who started something is told when it ends: in the portal, and by mail where mail is configured."""

from typing import Any

import pytest
from django.core import mail

from classifier.core.models import Notification, User
from classifier.core.notifications import notify

pytestmark = pytest.mark.django_db(transaction=True)


def send(user: User | None) -> None:
    notify(user, "Training run 1 made Model 2.", Notification.Subject.TRAINING_RUN, 1)


def test_a_notification_waits_in_the_portal_until_it_is_read(alice: User, bob: User) -> None:
    send(alice)

    unread = Notification.objects.for_user(alice).unread()
    assert [str(one) for one in unread] == ["Training run 1 made Model 2."]
    assert not Notification.objects.for_user(bob).exists()
    unread.mark_read()
    assert not Notification.objects.for_user(alice).unread().exists()
    assert mail.outbox == []


def test_a_mail_goes_out_where_mail_is_configured(alice: User, settings: Any) -> None:
    settings.EMAIL_HOST, settings.PUBLIC_URL = "mail.example.org", "https://callus.example.org"

    send(alice)

    (sent,) = mail.outbox
    assert sent.to == ["alice@example.org"]
    assert "Training run 1 made Model 2." in sent.body
    assert "https://callus.example.org" in sent.body


def test_a_mail_that_cannot_be_sent_takes_nothing_back(alice: User, settings: Any) -> None:
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 9
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"

    send(alice)

    assert Notification.objects.for_user(alice).count() == 1


def test_nobody_is_told_of_what_callus_started_by_itself() -> None:
    send(None)

    assert not Notification.objects.exists()
