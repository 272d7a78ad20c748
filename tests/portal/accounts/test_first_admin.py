import pytest
from django.core import signing
from django.test import Client

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


def test_a_weak_password_is_refused_at_its_field(client: Client, link: str) -> None:
    page = client.post(link, {**CHOSEN, "password1": "12345", "password2": "12345"})
    assert "This password is too short." in page.text
    assert not User.objects.exists()


def test_a_link_that_callus_did_not_make_is_not_found(client: Client) -> None:
    for token in ("guess", signing.dumps("first admin", salt="another salt")):
        assert client.post(f"/first-admin/{token}/", CHOSEN).status_code == 404
    assert not User.objects.exists()
