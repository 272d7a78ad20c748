import re
from datetime import timedelta
from typing import Any

from django.core import mail
from django.test import Client
from django.utils import timezone
from knox.models import AuthToken
from rest_framework.test import APIClient

from classifier.core.models import User
from classifier.registry.models import ModelVersion
from portal.accounts import first_admin
from tests.conftest import PASSWORD


def test_a_person_signs_up_in_and_out(client: Client, db: None) -> None:
    new = {"username": "carol", "password1": PASSWORD, "password2": PASSWORD}
    assert client.post("/accounts/signup/", new).headers["Location"] == "/"
    assert "carol" in client.get("/account/").text
    assert client.post("/accounts/logout/").headers["Location"] == "/accounts/login/"
    assert client.get("/account/").status_code == 302
    client.post("/accounts/login/", {"login": "carol", "password": PASSWORD})
    assert client.get("/account/").status_code == 200


def test_signing_out_needs_more_than_a_link(as_alice: Client) -> None:
    assert "Sign out?" in as_alice.get("/accounts/logout/").text
    assert as_alice.get("/account/").status_code == 200


def test_a_closed_sign_up_says_so_and_makes_no_account(client: Client, db: None, settings: Any) -> None:
    settings.SIGN_UP = "closed"
    new = {"username": "carol", "password1": PASSWORD, "password2": PASSWORD}
    for answer in (client.get("/accounts/signup/"), client.post("/accounts/signup/", new)):
        assert "Sign-up is closed" in answer.text
    assert not User.objects.exists()
    assert "/accounts/signup/" not in client.get("/accounts/login/").text


def test_errors_stand_at_their_fields(client: Client, db: None) -> None:
    page = client.post("/accounts/signup/", {"username": "carol", "password1": "12345", "password2": "12345"})
    assert 'id="id_password1_error"' in page.text
    assert re.search(r'<input[^>]*name="password1"[^>]*aria-describedby="[^"]*id_password1_error', page.text)


def test_password_managers_are_told_what_is_what(client: Client, db: None) -> None:
    page = client.get("/accounts/login/").text
    assert re.search(r'<input[^>]*name="login"[^>]*autocomplete="username"', page)
    assert re.search(r'<input[^>]*name="password"[^>]*autocomplete="current-password"', page)
    assert page.count('autocomplete="new-password"') == 0
    assert client.get("/accounts/signup/").text.count('autocomplete="new-password"') == 2


def test_a_wrong_password_does_not_say_what_was_wrong(client: Client, alice: User) -> None:
    wrong = client.post("/accounts/login/", {"login": "alice", "password": "wrong"})
    unknown = client.post("/accounts/login/", {"login": "nobody", "password": "wrong"})
    sentence = "The username and/or password you specified are not correct."
    assert sentence in wrong.text
    assert sentence in unknown.text


def test_a_password_is_changed(as_alice: Client, alice: User) -> None:
    new = "another-horse-battery"
    as_alice.post("/accounts/password/change/", {"oldpassword": PASSWORD, "password1": new, "password2": new})
    alice.refresh_from_db()
    assert alice.check_password(new)


def test_a_forgotten_password_is_reset_by_mail_once(client: Client, alice: User) -> None:
    assert (
        "Check your email"
        in client.post("/accounts/password/reset/", {"email": alice.email}, follow=True).text
    )
    link = re.search(r"http://127.0.0.1:8000(\S+)", str(mail.outbox[0].body))
    assert link
    form = client.get(link[1], follow=True)
    assert "Choose a new password" in form.text
    new = "another-horse-battery"
    client.post(form.redirect_chain[-1][0], {"password1": new, "password2": new})
    alice.refresh_from_db()
    assert alice.check_password(new)
    assert "This link is not valid" in Client().get(link[1], follow=True).text


def test_mails_greet_with_the_name_of_the_product(client: Client, alice: User) -> None:
    for address in (alice.email, "unknown@example.org"):
        client.post("/accounts/password/reset/", {"email": address})
    assert len(mail.outbox) == 2
    for message in mail.outbox:
        assert message.subject.startswith("[Callus] ")
        assert str(message.body).startswith("Hello from Callus!\n")
        assert "Hello from testserver" not in message.body


def test_only_who_changes_a_password_reads_what_that_does(client: Client, alice: User) -> None:
    sentence, rule = "signs out your other devices", "at least 10 characters"
    for address in ("/accounts/signup/", f"/first-admin/{first_admin.make_token()}/"):
        page = client.get(address).text
        assert rule in page
        assert sentence not in page
    client.force_login(alice)
    page = client.get("/accounts/password/change/").text
    assert rule in page
    assert sentence in page


def test_a_token_is_shown_once_and_works(as_alice: Client, model: ModelVersion) -> None:
    page = as_alice.post("/account/tokens/")
    token = re.search(r'id="new-token"[^>]*value="([^"]+)"', page.text)
    assert token
    assert "no-store" in page.headers["Cache-Control"]
    api = APIClient(headers={"Authorization": f"Bearer {token[1]}"})
    assert api.get("/api/v1/radiographs/").status_code == 200
    assert token[1] not in as_alice.get("/account/").text


def test_a_revoked_token_works_no_more(as_alice: Client, alice: User, model: ModelVersion) -> None:
    kept, token = AuthToken.objects.create(alice)
    api = APIClient(headers={"Authorization": f"Bearer {token}"})
    as_alice.post(f"/account/tokens/{kept.token_key}/revoke/")
    assert api.get("/api/v1/radiographs/").status_code == 401


def test_an_expired_token_is_called_so(as_alice: Client, alice: User) -> None:
    AuthToken.objects.create(alice, expiry=timedelta(days=-1))
    assert "expired" in as_alice.get("/account/").text


def test_anothers_token_is_neither_seen_nor_revoked(as_bob: Client, alice: User) -> None:
    kept, _ = AuthToken.objects.create(alice)
    assert kept.token_key not in as_bob.get("/account/").text
    assert as_bob.post(f"/account/tokens/{kept.token_key}/revoke/").status_code == 404
    assert AuthToken.objects.get().expiry > timezone.now()
