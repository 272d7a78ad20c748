import json
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from knox.models import AuthToken
from rest_framework.test import APIClient

from classifier.core.models import User
from portal.accounts.services import MAX_TOKENS
from tests.conftest import PASSWORD

TOKENS = "/api/v1/tokens/"
DAY = timedelta(days=1)
LIST = "/api/v1/radiographs/"


def ask(client: APIClient, username: str = "alice", password: str = PASSWORD) -> Any:
    return client.post(TOKENS, {"username": username, "password": password})


def with_token(token: str) -> APIClient:
    return APIClient(headers={"Authorization": f"Bearer {token}"})


def test_a_name_and_password_give_a_token_that_opens_the_api(alice: User) -> None:
    answer = ask(APIClient())
    assert answer.status_code == 201
    assert list(answer.json()) == ["token"]
    assert with_token(answer.json()["token"]).get(LIST).status_code == 200


def test_credentials_may_come_as_a_form_and_the_name_may_be_the_e_mail_address(alice: User) -> None:
    answer = APIClient().post(
        TOKENS,
        f"username=alice@example.org&password={PASSWORD}",
        content_type="application/x-www-form-urlencoded",
    )
    assert answer.status_code == 201


def test_spaces_around_the_name_are_ignored_and_a_name_of_spaces_is_wrong(alice: User) -> None:
    assert ask(APIClient(), " alice ").status_code == 201
    assert ask(APIClient(), " ").status_code == 401


def test_only_a_hash_of_the_token_is_stored_and_no_cache_stores_the_response(alice: User) -> None:
    answer = ask(APIClient())
    token = answer.json()["token"]
    kept = AuthToken.objects.values().get()
    assert token not in str(kept)
    assert "no-store" in answer["Cache-Control"]


@pytest.mark.parametrize(("username", "password"), [("alice", "wrong"), ("nobody", PASSWORD)])
def test_wrong_credentials_are_refused_with_the_same_sentence(
    alice: User, username: str, password: str
) -> None:
    answer = ask(APIClient(), username, password)
    assert answer.status_code == 401
    assert answer.json() == {"detail": "The name or the password is wrong."}
    assert answer["WWW-Authenticate"] == "Bearer"


def test_a_deactivated_user_gets_no_token_and_the_old_ones_stop_working(alice: User) -> None:
    token = ask(APIClient()).json()["token"]
    alice.is_active = False
    alice.save()
    assert ask(APIClient()).status_code == 401
    assert with_token(token).get(LIST).status_code == 401


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"username": "alice"},
        {"username": "", "password": ""},
        {"username": "a\0b", "password": "x"},
        {"username": "\ud800", "password": "x"},
        {"username": ["alice"], "password": {"a": 1}},
        {"username": "a" * 10_000, "password": "x"},
    ],
)
def test_invalid_credentials_are_refused_field_by_field(db: None, body: Any) -> None:
    answer = APIClient().post(TOKENS, json.dumps(body), content_type="application/json")
    assert answer.status_code == 400
    assert set(answer.json()) == {"detail", "fields"}
    assert set(answer.json()["fields"]) <= {"username", "password"}


def test_guessing_a_password_is_throttled_by_name_from_any_address(alice: User) -> None:
    statuses = [
        APIClient(REMOTE_ADDR=f"192.0.2.{number}").post(TOKENS, {"username": "alice", "password": "guess"})
        for number in range(6)
    ]
    assert [answer.status_code for answer in statuses] == [401] * 5 + [429]
    assert "Too many" in statuses[-1].json()["detail"]
    refused = ask(APIClient())
    assert refused.status_code == 429, "the right password is not tried either"
    assert int(refused["Retry-After"]) == 300


def test_guessing_a_password_is_throttled_by_address_for_any_name(db: None) -> None:
    answers = [ask(APIClient(), f"name{number}", "guess") for number in range(11)]
    assert [answer.status_code for answer in answers] == [401] * 10 + [429]


def test_correct_credentials_are_never_throttled(alice: User) -> None:
    assert {ask(APIClient()).status_code for _ in range(12)} == {201}


def test_a_token_can_revoke_itself_and_others_stay_valid(alice: User) -> None:
    first, second = (ask(APIClient()).json()["token"] for _ in range(2))
    assert with_token(first).delete(f"{TOKENS}current/").status_code == 204
    assert with_token(first).get(LIST).status_code == 401
    assert with_token(second).get(LIST).status_code == 200


def test_a_token_expires_and_is_deleted_when_the_next_is_created(alice: User) -> None:
    token = ask(APIClient()).json()["token"]
    AuthToken.objects.update(expiry=timezone.now() - timedelta(seconds=1))
    assert with_token(token).get(LIST).status_code == 401
    ask(APIClient())
    assert AuthToken.objects.count() == 1


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer two words",
        "Bearer 0123456789abcdef",
        "Bearer \xff\xfe",
        "Bearer " + "x" * 5000,
        "Token 0123456789abcdef",
        "Basic YWxpY2U6eA==",
    ],
)
def test_a_missing_or_wrong_token_is_401_with_a_sentence(db: None, header: str | None) -> None:
    client = APIClient(headers={"Authorization": header} if header is not None else {})
    answer = client.get(LIST)
    assert answer.status_code == 401
    assert answer["WWW-Authenticate"] == "Bearer"
    assert answer.json()["detail"].endswith(".")


def test_a_request_makes_one_query_for_its_token(alice: User) -> None:
    def num_queries() -> int:
        _, token = AuthToken.objects.create(user=alice)
        with CaptureQueriesContext(connection) as queries:
            assert with_token(token).get(LIST).status_code == 200
        return len(queries)

    assert num_queries() == num_queries()


def test_a_person_has_a_limited_number_of_tokens(alice: User, bob: User, as_alice: Client) -> None:
    AuthToken.objects.bulk_create(
        AuthToken(user=alice, digest=f"{number}", token_key=f"{number}", expiry=timezone.now() + DAY)
        for number in range(MAX_TOKENS)
    )
    answer = ask(APIClient())
    page = as_alice.post("/account/tokens/", follow=True)
    assert answer.status_code == 409
    assert answer.json()["detail"] == (
        "You have reached the limit of 1,000 API tokens, so no token was created. "
        "Revoke one under Account, then try again."
    )
    assert "You have reached the limit of 1,000 API tokens" in page.text
    assert AuthToken.objects.count() == MAX_TOKENS
    assert ask(APIClient(), "bob").status_code == 201, "others are not limited by it"

    as_alice.post("/account/tokens/7/revoke/")
    assert ask(APIClient()).status_code == 201
    AuthToken.objects.filter(user=alice).update(expiry=timezone.now() - DAY)
    assert ask(APIClient()).status_code == 201, "expired tokens do not count"
