"""Mails go out through the queue: a page never waits for the mail server, and no mail is lost while it is away."""

import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.core import mail
from django.test import Client

from classifier.core.clock import database_now
from classifier.core.models import User
from portal.accounts.models import OutgoingMail
from portal.accounts.tasks import send_mail
from portal.operations.backup import included_models
from portal.operations.sweep import sweep

LOCAL_MEMORY = "django.core.mail.backends.locmem.EmailBackend"


@pytest.fixture(autouse=True)
def queue(settings: Any) -> None:
    settings.EMAIL_BACKEND = "portal.accounts.mail.QueueBackend"
    settings.EMAIL_DELIVERY_BACKEND = LOCAL_MEMORY


@pytest.fixture
def deaf_server(settings: Any) -> Iterator[None]:
    """A mail server that accepts connections and says nothing."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        settings.EMAIL_DELIVERY_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = server.getsockname()
        settings.EMAIL_TIMEOUT = 1
        yield


def ask_for_a_link(client: Client, user: User) -> None:
    assert client.post("/accounts/password/reset/", {"email": user.email}).status_code == 302


def test_a_page_does_not_wait_for_a_mail_server_that_never_answers(
    client: Client, alice: User, deaf_server: None
) -> None:
    started = time.monotonic()
    ask_for_a_link(client, alice)
    assert time.monotonic() - started < 1
    queued = OutgoingMail.objects.get()
    assert (queued.state, queued.recipients) == ("queued", [alice.email])


def test_the_worker_sends_it_once_and_keeps_nothing(client: Client, alice: User) -> None:
    ask_for_a_link(client, alice)
    queued = OutgoingMail.objects.get()
    for _ in range(2):
        send_mail(queued.pk)
    assert [(message.to, message.subject) for message in mail.outbox] == [
        ([alice.email], "[Callus] Password Reset Email")
    ]
    assert "/accounts/password/reset/key/" in str(mail.outbox[0].body)
    assert not OutgoingMail.objects.exists()


def test_a_worker_gives_a_silent_server_its_time_limit_and_tries_again(
    client: Client, alice: User, settings: Any, deaf_server: None
) -> None:
    ask_for_a_link(client, alice)
    queued = OutgoingMail.objects.get()
    started = time.monotonic()
    send_mail(queued.pk)
    assert time.monotonic() - started < 5
    settings.EMAIL_DELIVERY_BACKEND = LOCAL_MEMORY
    OutgoingMail.objects.update(send_at=database_now(), lease_until=database_now())
    due = [row_id for kind, row_id in sweep() if kind is OutgoingMail]
    assert due == [queued.pk]
    send_mail(queued.pk)
    assert len(mail.outbox) == 1
    assert not OutgoingMail.objects.exists()


def test_a_mail_that_cannot_be_sent_is_given_up_and_its_link_is_deleted(client: Client, alice: User) -> None:
    ask_for_a_link(client, alice)
    OutgoingMail.objects.update(state="running", attempts=60, lease_until=database_now())
    sweep()
    assert not OutgoingMail.objects.exists()


def test_waiting_mails_are_in_no_backup(db: None) -> None:
    assert OutgoingMail not in included_models()
