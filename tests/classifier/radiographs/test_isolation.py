"""What is one user's, no other user sees, changes or notices."""

from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client

from classifier.core.models import User
from classifier.radiographs.models import Radiograph
from tests.uploads import NOBODYS_ID, fail, finish

PAGES = ["", "answer/", "image/", "thumbnail/"]


@pytest.mark.parametrize("page", PAGES)
def test_anothers_page_is_answered_like_one_that_does_not_exist(
    as_alice: Client, as_bob: Client, radiograph: Radiograph, page: str
) -> None:
    finish(radiograph)
    own: Any = as_alice.get(f"/radiographs/{radiograph.id}/{page}")
    assert own.status_code == 200
    assert own.getvalue()
    anothers = as_bob.get(f"/radiographs/{radiograph.id}/{page}")
    nobodys = as_bob.get(f"/radiographs/{NOBODYS_ID}/{page}")
    assert anothers.status_code == nobodys.status_code == 404
    assert radiograph._file_name not in anothers.text


@pytest.mark.parametrize("page", PAGES)
def test_a_visitor_sees_nothing(client: Client, radiograph: Radiograph, page: str) -> None:
    finish(radiograph)
    answer = client.get(f"/radiographs/{radiograph.id}/{page}")
    assert answer.status_code == 302
    assert answer.headers["Location"].startswith("/accounts/login/")


def test_anothers_radiograph_is_in_no_list(as_bob: Client, radiograph: Radiograph) -> None:
    for path in ("/", "/radiographs/", f"/radiographs/?name={radiograph._file_name}"):
        assert str(radiograph.id) not in as_bob.get(path).text
    finish(radiograph)
    assert as_bob.get(f"/radiographs/answers/?waiting={radiograph.id}:queued").status_code == 204


def test_anothers_radiograph_cannot_be_deleted_nor_asked_for_again(
    as_bob: Client, radiograph: Radiograph
) -> None:
    fail(radiograph)
    assert as_bob.get(f"/radiographs/delete/?id={radiograph.id}").status_code == 404
    assert as_bob.post("/radiographs/delete/", {"id": str(radiograph.id)}).status_code == 404
    assert as_bob.post(f"/radiographs/{radiograph.id}/retry/").status_code == 404
    assert radiograph.predictions.get().state == "failed"


def test_a_picture_kept_by_the_browser_is_not_confirmed_to_another_user(
    as_alice: Client, as_bob: Client, radiograph: Radiograph
) -> None:
    path = f"/radiographs/{radiograph.id}/image/"
    own: Any = as_alice.get(path)
    assert own.getvalue()
    assert as_bob.get(path, headers={"If-None-Match": own.headers["ETag"]}).status_code == 404


def test_a_reviewer_sees_anothers_result_but_may_not_delete_it(
    as_bob: Client, bob: User, radiograph: Radiograph
) -> None:
    bob.user_permissions.add(Permission.objects.get(codename="review_radiograph"))
    finish(radiograph)
    page = as_bob.get(f"/radiographs/{radiograph.id}/")
    assert page.status_code == 200
    assert "Delete this X-ray" not in page.text
    assert as_bob.post("/radiographs/delete/", {"id": str(radiograph.id)}).status_code == 404
