"""What opens an account closes with it: sessions, tokens, and the addresses that signing in leads to."""

import io
import logging
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.core import mail
from django.core.management import call_command
from django.test import Client
from django.urls import clear_script_prefix, set_script_prefix
from knox.models import AuthToken
from rest_framework.test import APIClient

from classifier.core.models import User
from portal.accounts.first_admin import make_token
from portal.logs import KeyValueFormatter
from tests.conftest import PASSWORD

pytestmark = pytest.mark.usefixtures("no_failed_attempts", "files")
NEW = "another-horse-battery"


@pytest.fixture
def under_a_path() -> Iterator[None]:
    """The portal as with PUBLIC_URL=https://testserver/callus."""
    set_script_prefix("/callus/")
    yield
    clear_script_prefix()


def sign_in(client: Client, **sent: str) -> Any:
    return client.post("/accounts/login/", {"login": "alice", "password": PASSWORD, **sent})


def is_signed_in(client: Client) -> bool:
    return bool(client.get("/account/").status_code == 200)


def test_a_session_that_somebody_else_chose_is_not_signed_in(client: Client, alice: User) -> None:
    session = client.session
    session["planted"] = True
    session.save()
    planted = session.session_key
    sign_in(client)
    assert is_signed_in(client)
    theirs = Client()
    theirs.cookies["sessionid"] = planted
    assert client.cookies["sessionid"].value != planted
    assert not is_signed_in(theirs)


@pytest.mark.parametrize(
    "evil",
    [
        "https://evil.example/",
        "//evil.example/",
        "///evil.example/",
        "/\\evil.example/",
        "\\\\evil.example/",
        "https:evil.example",
        "javascript:alert(1)",
        "http://testserver@evil.example/",
        "/\t/evil.example/",
        "https://localhost/",
    ],
)
def test_signing_in_leads_to_no_other_host(client: Client, alice: User, evil: str) -> None:
    assert sign_in(client, next=evil)["Location"] == "/"
    for answer in (
        client.get("/accounts/login/", {"next": evil}),
        client.post("/accounts/reauthenticate/", {"password": PASSWORD, "next": evil}),
        client.post("/accounts/logout/", {"next": evil}),
        client.post(
            "/accounts/signup/", {"username": "x" * 9, "password1": NEW, "password2": NEW, "next": evil}
        ),
    ):
        assert answer["Location"] in ("/", "/accounts/login/")
    stranger = Client()
    through_admin = stranger.get("/admin/login/", {"next": evil})["Location"]
    assert through_admin.startswith("/accounts/login/?next=")
    stranger.get(through_admin)
    assert sign_in(stranger, next=evil)["Location"] == "/"


@pytest.mark.parametrize(
    "elsewhere",
    [
        "/other/",
        "/callusx/",
        "/callus/../other/",
        "/callus/%2e%2e/other/",
        "/callus/..\\other/",
        "https://testserver/other/",
        "//testserver/other/",
    ],
)
def test_under_a_path_signing_in_leads_to_no_other_application_of_the_host(
    client: Client, alice: User, under_a_path: None, elsewhere: str
) -> None:
    assert sign_in(client, next=elsewhere)["Location"] == "/callus/"
    assert sign_in(Client(), next="/callus/radiographs/?page=1")["Location"] == "/callus/radiographs/?page=1"


def test_signing_in_leads_back_to_the_page_one_came_from(client: Client, alice: User) -> None:
    where = client.get("/radiographs/?name=wrist")["Location"]
    assert where == "/accounts/login/?next=/radiographs/%3Fname%3Dwrist"
    assert sign_in(client, next="/radiographs/?name=wrist")["Location"] == "/radiographs/?name=wrist"


def test_a_request_for_another_host_sends_no_mail_that_leads_there(client: Client, alice: User) -> None:
    for headers in ({"Host": "evil.example"}, {"Host": "testserver", "X-Forwarded-Host": "evil.example"}):
        client.post("/accounts/password/reset/", {"email": alice.email}, headers=headers)
    assert [message for message in mail.outbox if "evil" in str(message.body)] == []
    assert len(mail.outbox) == 1
    assert client.get("/", headers={"Host": "evil.example"}).status_code == 400


@pytest.mark.parametrize("host", ["testserver:6666", "127.0.0.1:6666", "localhost"])
def test_a_link_in_a_mail_does_not_follow_the_host_header(
    client: Client, alice: User, settings: Any, host: str
) -> None:
    settings.PUBLIC_ORIGIN = "https://xray.example.org"
    EmailAddress.objects.create(user=alice, email=alice.email, primary=True, verified=True)
    for email in (alice.email, "unknown@example.org"):
        client.post("/accounts/password/reset/", {"email": email}, headers={"Host": host})
    known = {"username": "carol", "email": alice.email, "password1": NEW, "password2": NEW}
    client.post("/accounts/signup/", known, headers={"Host": host})
    assert len(mail.outbox) >= 2
    for message in mail.outbox:
        assert "https://xray.example.org/accounts/" in str(message.body)
        assert "6666" not in str(message.body)
        assert "localhost" not in str(message.body)


@pytest.mark.parametrize("enforce_csrf_checks", [False, True])
def test_no_log_holds_what_opens_an_account(
    alice: User, caplog: pytest.LogCaptureFixture, enforce_csrf_checks: bool
) -> None:
    caplog.set_level(logging.INFO)
    client = Client(raise_request_exception=False, enforce_csrf_checks=enforce_csrf_checks)
    token = client.post(
        "/api/v1/tokens/", {"username": "alice", "password": PASSWORD}, "application/json"
    ).json()
    headers = {"Authorization": f"Bearer {token['token']}"}
    client.post("/api/v1/prediction-batches/", {}, "application/json", headers=headers)
    client.post(f"/first-admin/{make_token()}/", {"password1": NEW})
    Client().post("/accounts/password/reset/", {"email": alice.email})
    client.post("/accounts/password/reset/", {"email": alice.email})
    key = str(mail.outbox[0].body).partition("/accounts/password/reset/key/")[2].split("/")[0]
    client.post(f"/accounts/password/reset/key/{key}/")
    sign_in(client)
    secrets = (token["token"], PASSWORD, NEW, make_token().partition(":")[0], key)
    if enforce_csrf_checks:
        refusals = [record for record in caplog.records if record.name == "django.security.csrf"]
        assert len(refusals) >= 4
    requests = [record for record in caplog.records if record.name == "portal.middleware"]
    assert len(requests) >= 6
    logged = "\n".join(KeyValueFormatter().format(record) for record in caplog.records)
    assert [secret for secret in secrets if secret in logged] == []


def by_the_person(alice: User) -> None:
    client = Client()
    sign_in(client)
    sent = {"oldpassword": PASSWORD, "password1": NEW, "password2": NEW}
    client.post("/accounts/password/change/", sent)
    assert is_signed_in(client), "who changes it stays signed in"


def by_mail(alice: User) -> None:
    client = Client()
    client.post("/accounts/password/reset/", {"email": alice.email})
    link = re.search(r"http://127.0.0.1:8000(\S+)", str(mail.outbox[0].body))
    assert link
    form = client.get(link[1])["Location"]
    client.post(form, {"password1": NEW, "password2": NEW})


def by_an_admin(alice: User) -> None:
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    sent = {"password1": NEW, "password2": NEW, "usable_password": "true"}
    client.post(f"/admin/core/user/{alice.pk}/password/", sent)


def by_a_command(alice: User) -> None:
    answers = iter([NEW, NEW])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("getpass.getpass", lambda prompt="": next(answers))
        call_command("changepassword", "alice", stdout=io.StringIO())


@pytest.mark.parametrize("change", [by_the_person, by_mail, by_an_admin, by_a_command])
def test_a_new_password_ends_sessions_elsewhere_and_all_tokens(
    alice: User, bob: User, change: Callable[[User], None]
) -> None:
    elsewhere = Client()
    sign_in(elsewhere)
    _, token = AuthToken.objects.create(alice)
    _, bobs = AuthToken.objects.create(bob)
    program = APIClient(headers={"Authorization": f"Bearer {token}"})
    assert (is_signed_in(elsewhere), program.get("/api/v1/radiographs/").status_code) == (True, 200)
    change(alice)
    alice.refresh_from_db()
    assert alice.check_password(NEW)
    assert (is_signed_in(elsewhere), program.get("/api/v1/radiographs/").status_code) == (False, 401)
    others = APIClient(headers={"Authorization": f"Bearer {bobs}"})
    assert others.get("/api/v1/radiographs/").status_code == 200


def test_an_admin_who_deactivates_somebody_ends_sessions_and_tokens(alice: User) -> None:
    client = Client()
    sign_in(client)
    _, token = AuthToken.objects.create(alice)
    as_admin = Client()
    as_admin.force_login(User.objects.create_superuser("root"))
    page = f"/admin/core/user/{alice.pk}/change/"
    joined = alice.date_joined
    as_admin.post(
        page,
        {
            "username": "alice",
            "date_joined_0": joined.strftime("%Y-%m-%d"),
            "date_joined_1": joined.strftime("%H:%M:%S"),
        },
    )
    alice.refresh_from_db()
    assert not alice.is_active
    program = APIClient(headers={"Authorization": f"Bearer {token}"})
    assert (is_signed_in(client), program.get("/api/v1/radiographs/").status_code) == (False, 401)
    sign_in(client)
    assert not is_signed_in(client)
