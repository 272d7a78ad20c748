"""Guessing is stopped, on the page, in the administration and in the API; a second factor holds everywhere."""

import re
import time

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import TOTP, format_hotp_value, hotp_value
from allauth.usersessions.models import UserSession
from django.contrib.sessions.models import Session
from django.test import Client

from classifier.core.models import User
from tests.conftest import PASSWORD

pytestmark = pytest.mark.usefixtures("no_failed_attempts")
SECRET = "JBSWY3DPEHPK3PXP"


def sign_in(client: Client, password: str) -> None:
    client.post("/accounts/login/", {"login": "alice", "password": password})


def is_signed_in(client: Client) -> bool:
    return "_auth_user_id" in client.session


def code(counter: int = 0) -> str:
    return format_hotp_value(hotp_value(SECRET, int(time.time()) // 30 + counter))


@pytest.fixture
def alice_with_phone(alice: User) -> User:
    TOTP.activate(alice, SECRET)
    return alice


def test_after_five_wrong_passwords_the_right_one_does_not_help_either(client: Client, alice: User) -> None:
    for _ in range(5):
        sign_in(client, "wrong")
    page = client.post("/accounts/login/", {"login": "alice", "password": PASSWORD})
    assert not is_signed_in(client)
    assert "Too many failed login attempts" in page.content.decode()


def test_the_lockout_holds_for_the_api_too_and_the_other_way_round(client: Client, alice: User) -> None:
    for _ in range(5):
        answer = client.post(
            "/api/v1/tokens/", {"username": "alice", "password": "wrong"}, "application/json"
        )
        assert answer.status_code == 401
    answer = client.post("/api/v1/tokens/", {"username": "alice", "password": PASSWORD}, "application/json")
    assert answer.status_code == 429
    assert int(answer["Retry-After"]) == 300
    sign_in(client, PASSWORD)
    assert not is_signed_in(client)


def test_it_locks_one_name_alone(client: Client, alice: User, bob: User) -> None:
    for _ in range(6):
        sign_in(client, "wrong")
    client.post("/accounts/login/", {"login": "bob", "password": PASSWORD})
    assert is_signed_in(client)


def test_the_administration_has_no_sign_in_of_its_own(client: Client, alice: User) -> None:
    answer = client.get("/admin/login/?next=/admin/")
    assert answer.status_code == 302
    assert answer["Location"].startswith("/accounts/login/")
    User.objects.filter(id=alice.id).update(is_staff=True, is_superuser=True)
    client.post("/admin/login/", {"username": "alice", "password": PASSWORD})
    assert not is_signed_in(client)


@pytest.mark.parametrize("page", ["/admin/login/", "/admin/password_change/"])
def test_staff_can_try_no_passwords_in_the_administration(client: Client, alice: User, page: str) -> None:
    User.objects.create_superuser("root", password=PASSWORD)
    User.objects.filter(id=alice.id).update(is_staff=True)
    client.force_login(alice)
    new = "another-horse-battery"
    wanted = {"old_password": PASSWORD, "new_password1": new, "new_password2": new}
    answer = client.post(page, {"username": "root", "password": PASSWORD, **wanted})
    assert answer.status_code == 302
    assert client.session["_auth_user_id"] == str(alice.id)
    alice.refresh_from_db()
    assert alice.check_password(PASSWORD)


def test_with_a_second_factor_the_password_alone_opens_nothing(
    client: Client, alice_with_phone: User
) -> None:
    answer = client.post("/accounts/login/", {"login": "alice", "password": PASSWORD})
    assert answer["Location"] == "/accounts/2fa/authenticate/"
    assert not is_signed_in(client)
    assert client.get("/radiographs/").status_code == 302
    token = client.post("/api/v1/tokens/", {"username": "alice", "password": PASSWORD}, "application/json")
    assert token.status_code == 401
    assert "two-factor authentication" in token.json()["detail"]
    client.post("/accounts/2fa/authenticate/", {"code": code()})
    assert is_signed_in(client)


def test_codes_cannot_be_guessed_either(client: Client, alice_with_phone: User) -> None:
    client.post("/accounts/login/", {"login": "alice", "password": PASSWORD})
    for _ in range(5):
        client.post("/accounts/2fa/authenticate/", {"code": "000000"})
    client.post("/accounts/2fa/authenticate/", {"code": code()})
    assert not is_signed_in(client)


def test_a_person_sets_up_a_second_factor_and_gets_recovery_codes(client: Client, alice: User) -> None:
    client.post("/accounts/login/", {"login": "alice", "password": PASSWORD})
    asked = client.get("/accounts/2fa/totp/activate/")
    assert asked["Location"].startswith("/accounts/reauthenticate/"), "an unattended session is not enough"
    client.post("/accounts/reauthenticate/", {"password": PASSWORD})
    page = client.get("/accounts/2fa/totp/activate/")
    assert page.status_code == 200
    assert 'class="brand"' in page.content.decode(), "in the portal's own layout"
    secret = page.context["form"].secret
    value = format_hotp_value(hotp_value(secret, int(time.time()) // 30))
    client.post("/accounts/2fa/totp/activate/", {"code": value})
    assert Authenticator.objects.filter(user=alice, type="totp").exists()
    shown = client.get("/accounts/2fa/recovery-codes/").content.decode()
    recovery = re.findall(r"\b\d{8}\b", shown)
    assert len(recovery) == 10

    client.post("/accounts/logout/")
    client.post("/accounts/login/", {"login": "alice", "password": PASSWORD})
    client.post("/accounts/2fa/authenticate/", {"code": recovery[0]})
    assert is_signed_in(client)
    client.post("/accounts/logout/")
    client.post("/accounts/login/", {"login": "alice", "password": PASSWORD})
    client.post("/accounts/2fa/authenticate/", {"code": recovery[0]})
    assert not is_signed_in(client), "a recovery code works once"


def test_a_new_second_factor_ends_all_other_sessions(alice: User, bob: User) -> None:
    here, thief, bobs = Client(), Client(), Client()
    for client, name in ((here, "alice"), (thief, "alice"), (bobs, "bob")):
        client.post("/accounts/login/", {"login": name, "password": PASSWORD})
    here.post("/accounts/reauthenticate/", {"password": PASSWORD})
    secret = here.get("/accounts/2fa/totp/activate/").context["form"].secret
    here.post("/accounts/2fa/totp/activate/", {"code": "000000"})
    assert thief.get("/radiographs/").status_code == 200, "a wrong code sets nothing up"
    value = format_hotp_value(hotp_value(secret, int(time.time()) // 30))
    here.post("/accounts/2fa/totp/activate/", {"code": value})
    assert Authenticator.objects.filter(user=alice, type="totp").exists()
    assert thief.get("/radiographs/").status_code == 302
    assert here.get("/radiographs/").status_code == 200
    assert bobs.get("/radiographs/").status_code == 200


def test_a_person_sees_where_they_are_signed_in_and_signs_out_elsewhere(alice: User) -> None:
    here, lost_phone = Client(), Client(headers={"User-Agent": "Lost phone"})
    for client in (here, lost_phone):
        client.post("/accounts/login/", {"login": "alice", "password": PASSWORD})
    assert "Lost phone" in here.get("/accounts/sessions/").content.decode()
    here.post("/accounts/sessions/")
    assert here.get("/radiographs/").status_code == 200
    assert lost_phone.get("/radiographs/").status_code == 302
    assert Session.objects.count() == 1


@pytest.mark.parametrize("several", [False, True])
def test_an_admin_signs_somebody_out(client: Client, alice: User, several: bool) -> None:
    client.post("/accounts/login/", {"login": "alice", "password": PASSWORD})
    client.get("/accounts/sessions/")
    session = UserSession.objects.get(user=alice)
    as_admin = Client()
    as_admin.force_login(User.objects.create_superuser("root"))
    page = "/admin/usersessions/usersession/"
    if several:
        chosen = {"action": "delete_selected", "_selected_action": [session.pk], "post": "yes"}
        as_admin.post(page, chosen)
    else:
        as_admin.post(f"{page}{session.pk}/delete/", {"post": "yes"})
    assert client.get("/radiographs/").status_code == 302


def test_an_open_session_is_not_enough_to_move_the_account_to_another_address(
    client: Client, alice: User
) -> None:
    client.force_login(alice)
    new = {"action_add": "", "email": "mallory@example.org"}
    assert client.post("/accounts/email/", new)["Location"].startswith("/accounts/reauthenticate/")
    assert not EmailAddress.objects.filter(email=new["email"]).exists()
    client.post("/accounts/reauthenticate/", {"password": PASSWORD})
    client.post("/accounts/email/", new)
    assert EmailAddress.objects.get(email=new["email"]).user == alice


@pytest.mark.parametrize("password", ["short-one", "1234567890123", "password123", "alice-alice"])
def test_weak_passwords_are_refused(client: Client, db: None, password: str) -> None:
    client.post(
        "/accounts/signup/",
        {"username": "alice-alice", "email": "", "password1": password, "password2": password},
    )
    assert not User.objects.exists()


def test_nobody_reads_keys_in_the_administration(client: Client, alice_with_phone: User) -> None:
    client.force_login(User.objects.create_superuser("root"))
    factor = Authenticator.objects.get()
    page = client.get(f"/admin/mfa/authenticator/{factor.pk}/change/").content.decode()
    assert "alice" in page
    assert SECRET not in page
    assert "secret" not in page
