"""Two users cannot see, change or detect each other's X-rays."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from rest_framework.test import APIClient

from classifier.core.models import User
from classifier.radiographs.models import Radiograph
from classifier.registry.models import ModelVersion
from tests.people import api_client
from tests.uploads import body_of, send

RADIOGRAPHS = "/api/v1/radiographs/"


@pytest.fixture
def sent(alice_api: APIClient, model: ModelVersion) -> dict[str, Any]:
    return dict(send(alice_api).json())


def paths_of(sent: dict[str, Any]) -> list[str]:
    radiograph = f"{RADIOGRAPHS}{sent['id']}/"
    prediction = f"/api/v1/predictions/{sent['prediction']['id']}/"
    return [radiograph, f"{radiograph}image/", f"{radiograph}thumbnail/", prediction]


def test_another_users_objects_are_answered_like_those_that_do_not_exist(
    bob_api: APIClient, sent: dict[str, Any]
) -> None:
    nobodys = {**sent, "id": sent["prediction"]["id"], "prediction": {"id": sent["id"]}}
    for path, missing in zip(paths_of(sent), paths_of(nobodys), strict=True):
        answer, none = bob_api.get(path), bob_api.get(missing)
        assert answer.status_code == none.status_code == 404
        assert answer.json() == none.json()


def test_lists_contain_only_the_users_own_rows(
    alice_api: APIClient, bob_api: APIClient, sent: dict[str, Any]
) -> None:
    own = send(bob_api).json()
    for client, expected in ((alice_api, sent), (bob_api, own)):
        answer = client.get(RADIOGRAPHS).json()
        assert (answer["count"], [row["id"] for row in answer["results"]]) == (1, [expected["id"]])


def test_another_users_radiograph_cannot_be_deleted(
    bob_api: APIClient, sent: dict[str, Any], stored: Callable[[], list[str]]
) -> None:
    assert bob_api.delete(f"{RADIOGRAPHS}{sent['id']}/").status_code == 404
    assert Radiograph.objects.count() == 1
    assert len(stored()) == 2


def test_a_reviewer_sees_anothers_radiograph_but_cannot_delete_it_nor_finds_it_in_the_list(
    bob: User, sent: dict[str, Any]
) -> None:
    bob.user_permissions.add(Permission.objects.get(codename="review_radiograph"))
    reviewer = api_client(bob)
    for path in paths_of(sent):
        answer = reviewer.get(path)
        assert answer.status_code == 200
        assert body_of(answer)
    assert reviewer.get(RADIOGRAPHS).json()["count"] == 0
    assert reviewer.delete(f"{RADIOGRAPHS}{sent['id']}/").status_code == 404
    assert Radiograph.objects.count() == 1


def test_without_a_token_every_address_is_401(sent: dict[str, Any]) -> None:
    for path in [RADIOGRAPHS, *paths_of(sent)]:
        answer = APIClient().get(path)
        assert answer.status_code == 401
        assert answer["WWW-Authenticate"] == "Bearer"
        assert answer.json() == {"detail": "Authentication credentials were not provided."}


def test_a_cached_image_is_not_given_to_the_next_user(
    alice_api: APIClient, bob_api: APIClient, sent: dict[str, Any]
) -> None:
    path = f"{RADIOGRAPHS}{sent['id']}/image/"
    answer = alice_api.get(path)
    assert body_of(answer)
    for client in (bob_api, APIClient()):
        assert client.get(path, headers={"If-None-Match": answer["ETag"]}).status_code in (401, 404)
