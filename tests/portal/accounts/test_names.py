"""User names that could be taken for another's, and who may change which account."""

import io
import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.contrib.auth.models import Group, Permission
from django.contrib.sessions.models import Session
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.utils import timezone
from knox.models import AuthToken

from classifier.core.models import TAKEN, User
from portal.operations.purge import purge
from tests.conftest import PASSWORD
from tests.people import api_client, signed_in
from tests.retraining_rows import user_who_may

NUM_THREADS = 4
pytestmark = pytest.mark.django_db
LOOK_ALIKES = [
    "ALICE",
    "\uff41lice",  # full-width a
    "\u0430lice",  # Cyrillic a
    "al\u0131ce",  # dotless i
    "ali\u0441e",  # Cyrillic es
    "alice\u200b",
    "alice@example.org",
    "Callus",
    "callus",
    "C.allus",
    "\uff23allus",
]


def change_page(user: User) -> str:
    return f"/admin/core/user/{user.pk}/change/"


def as_form(user: User, **changes: Any) -> dict[str, Any]:
    joined = user.date_joined
    kept = {
        "username": user.username,
        "email": user.email,
        "is_active": "on",
        "date_joined_0": joined.strftime("%Y-%m-%d"),
        "date_joined_1": joined.strftime("%H:%M:%S"),
    }
    return {**kept, **changes}


@pytest.mark.parametrize("name", LOOK_ALIKES)
def test_nobody_signs_up_with_a_name_like_anothers(client: Client, alice: User, name: str) -> None:
    page = client.post("/accounts/signup/", {"username": name, "password1": PASSWORD, "password2": PASSWORD})
    assert page.status_code == 200
    assert 'id="id_username_error"' in page.text
    assert User.objects.get() == alice


@pytest.mark.parametrize("name", LOOK_ALIKES)
def test_no_admin_renames_anyone_to_it(alice: User, bob: User, name: str) -> None:
    admin = signed_in(User.objects.create_superuser("adam"))
    page = admin.post(change_page(bob), as_form(bob, username=name))
    assert page.status_code == 200
    bob.refresh_from_db()
    assert bob.username == "bob"


@pytest.mark.parametrize("name", LOOK_ALIKES)
def test_no_command_makes_it(alice: User, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", PASSWORD)
    with pytest.raises(CommandError):
        call_command(
            "createsuperuser", "--noinput", username=name, email="x@example.org", stdout=io.StringIO()
        )
    assert User.objects.get() == alice


def test_the_database_holds_each_name_once_in_any_case(alice: User) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        User.objects.create_user("Alice")


def test_people_sign_in_with_their_name_in_any_case(client: Client, alice: User) -> None:
    client.post("/accounts/login/", {"login": "ALICE", "password": PASSWORD})
    assert client.get("/account/").status_code == 200


@pytest.mark.parametrize(
    ("chosen", "typed"),
    [("stra\u00dfe-caf\u00e9-1", "stra\u00dfe-cafe\u0301-1"), ("\uff41bcdefghijk", "abcdefghijk")],
)
def test_a_password_is_the_same_on_each_keyboard(client: Client, chosen: str, typed: str) -> None:
    new = {"username": "carol", "password1": chosen, "password2": chosen}
    assert client.post("/accounts/signup/", new).headers["Location"] == "/"
    other = Client()
    other.post("/accounts/login/", {"login": "carol", "password": typed})
    assert other.get("/account/").status_code == 200


@pytest.fixture
def staff() -> User:
    """May change users, e-mail addresses and groups in the administration, and has no other permission."""
    user = user_who_may("sam", "core.view_user", "core.change_user")
    for name in ("change_group", "change_emailaddress", "add_emailaddress"):
        user.user_permissions.add(Permission.objects.get(codename=name))
    user.is_staff = True
    user.save()
    return User.objects.get(pk=user.pk)


def test_staff_do_not_make_themselves_or_others_more_powerful(staff: User, bob: User) -> None:
    client = signed_in(staff)
    group = Group.objects.create(name="Powerful")
    power = Permission.objects.get(codename="promote_model")
    sent = {"is_superuser": "on", "is_staff": "on", "groups": [group.pk], "user_permissions": [power.pk]}
    for user in (staff, bob):
        before = (user.is_superuser, user.is_staff, user.get_all_permissions())
        assert client.post(change_page(user), as_form(user, first_name="New", **sent)).status_code == 302
        after = User.objects.get(pk=user.pk)
        assert after.first_name == "New"
        assert (after.is_superuser, after.is_staff, after.get_all_permissions()) == before
    assert (
        client.post(f"/admin/auth/group/{group.pk}/change/", {"permissions": [power.pk]}).status_code == 403
    )


def test_staff_do_not_take_the_account_of_somebody_who_may_do_more(staff: User) -> None:
    client = signed_in(staff)
    new = {
        "password1": "another-horse-battery",
        "password2": "another-horse-battery",
        "usable_password": "true",
    }
    powerful = user_who_may("tess", "registry.train_model")
    for user in (User.objects.create_superuser("adam", "adam@example.org", PASSWORD), powerful):
        assert client.post(f"/admin/core/user/{user.pk}/password/", new).status_code == 403
        assert client.post(change_page(user), as_form(user, email="sam@example.org")).status_code == 403
        address = {"user": user.pk, "email": "sam@example.org"}
        assert client.post("/admin/account/emailaddress/add/", address).status_code == 403


def test_staff_help_people_who_may_do_no_more_than_they(staff: User, bob: User) -> None:
    new = {
        "password1": "another-horse-battery",
        "password2": "another-horse-battery",
        "usable_password": "true",
    }
    assert signed_in(staff).post(f"/admin/core/user/{bob.pk}/password/", new).status_code == 302
    bob.refresh_from_db()
    assert bob.check_password("another-horse-battery")


def test_a_token_from_before_the_second_factor_works_no_more(alice: User, bob: User) -> None:
    before, bobs = api_client(alice), api_client(bob)
    assert before.get("/api/v1/radiographs/").status_code == 200
    Authenticator.objects.create(user=alice, type=Authenticator.Type.TOTP, data={})
    assert before.get("/api/v1/radiographs/").status_code == 401
    assert "Revoke" not in signed_in(alice).get("/account/").text
    assert api_client(alice).get("/api/v1/radiographs/").status_code == 200
    assert bobs.get("/api/v1/radiographs/").status_code == 200


def test_expired_sessions_and_tokens_are_removed(alice: User) -> None:
    expired, current = Client(), Client()
    for client in (expired, current):
        client.post("/accounts/login/", {"login": "alice", "password": PASSWORD})
        client.get("/account/")
    assert (Session.objects.count(), UserSession.objects.count()) == (2, 2)
    AuthToken.objects.create(alice)
    AuthToken.objects.create(alice)
    first = AuthToken.objects.first()
    long_ago = timezone.now() - timedelta(days=31)
    AuthToken.objects.filter(pk=first.pk).update(expiry=long_ago)
    Session.objects.filter(session_key=expired.cookies["sessionid"].value).update(expire_date=long_ago)
    purge()
    assert Session.objects.get().session_key == current.cookies["sessionid"].value
    assert UserSession.objects.get().session_key == current.cookies["sessionid"].value
    assert AuthToken.objects.count() == 1
    assert re.search("alice", current.get("/account/").text)


@pytest.mark.django_db(transaction=True)
def test_of_people_who_choose_one_name_at_the_same_moment_one_gets_it() -> None:
    together = Barrier(NUM_THREADS)
    new = {"password1": PASSWORD, "password2": PASSWORD}

    def sign_up(number: int) -> tuple[int, bool]:
        client = Client(raise_request_exception=False)
        try:
            together.wait()
            page = client.post("/accounts/signup/", {"username": ("carol", "CAROL")[number % 2], **new})
            return page.status_code, TAKEN in page.text
        finally:
            connection.close()

    with ThreadPoolExecutor(NUM_THREADS) as threads:
        answers = Counter(threads.map(sign_up, range(NUM_THREADS)))
    assert answers == {(302, False): 1, (200, True): NUM_THREADS - 1}
    assert User.objects.count() == 1
