import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.core import signing
from django.db import connection
from django.test import Client
from django.urls import clear_script_prefix, set_script_prefix

from classifier.core.models import User
from portal.accounts import first_admin
from tests.conftest import PASSWORD

pytestmark = pytest.mark.django_db
CHOSEN = {"username": "root", "email": "", "password1": PASSWORD, "password2": PASSWORD}


@pytest.fixture
def link() -> str:
    return f"/first-admin/{first_admin.make_token()}/"


def test_the_link_makes_an_admin_once(client: Client, link: str) -> None:
    assert client.get(link).status_code == 200
    assert client.post(link, CHOSEN).headers["Location"] == "/accounts/login/"
    admin = User.objects.get()
    assert (admin.username, admin.is_superuser, admin.check_password(PASSWORD)) == ("root", True, True)
    again = client.post(link, {**CHOSEN, "username": "intruder"})
    assert again.status_code == client.get(link).status_code == 404
    assert User.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_twelve_requests_at_once_make_one_admin(link: str) -> None:
    together = threading.Barrier(12)

    def choose(number: int) -> int:
        client = Client()
        together.wait()
        answer = client.post(link, {**CHOSEN, "username": f"root{number}"})
        connection.close()
        return answer.status_code

    with ThreadPoolExecutor(12) as threads:
        statuses = sorted(threads.map(choose, range(12)))
    assert statuses == [302] + [404] * 11
    assert User.objects.count() == 1


@pytest.mark.parametrize("origin", ["https://example.org", "https://example.org:8443"])
def test_the_link_holds_the_path_of_the_public_address_once(settings: Any, origin: str) -> None:
    settings.PUBLIC_ORIGIN = origin
    settings.FORCE_SCRIPT_NAME = "/callus"
    set_script_prefix("/callus/")
    try:
        assert first_admin.make_link().startswith(f"{origin}/callus/first-admin/")
    finally:
        clear_script_prefix()


def test_a_weak_password_is_refused_at_its_field(client: Client, link: str) -> None:
    page = client.post(link, {**CHOSEN, "password1": "12345", "password2": "12345"})
    assert "This password is too short." in page.text
    assert not User.objects.exists()


def test_a_link_that_callus_did_not_make_is_not_found(client: Client) -> None:
    for token in ("guess", signing.dumps("first admin", salt="another salt")):
        assert client.post(f"/first-admin/{token}/", CHOSEN).status_code == 404
    assert not User.objects.exists()
