import pytest
from django.test import Client

from classifier.core.models import User
from classifier.radiographs.models import Prediction, Radiograph
from tests.conftest import xray
from tests.uploads import NOBODYS_ID, finish, receive


def test_it_asks_first_and_deletes_nothing_by_a_link(as_alice: Client, radiograph: Radiograph) -> None:
    page = as_alice.get(f"/radiographs/delete/?id={radiograph.id}")
    assert "Delete this X-ray?" in page.text
    assert radiograph._file_name in page.text
    assert Radiograph.objects.count() == 1


def test_what_is_deleted_is_in_the_trash_and_nowhere_else(
    as_alice: Client, alice: User, radiograph: Radiograph
) -> None:
    other = receive(alice, xray("other.png"))
    finish(radiograph)
    page = as_alice.post("/radiographs/delete/", {"id": [str(radiograph.id), str(other.id)]}, follow=True)
    assert page.redirect_chain == [("/radiographs/", 302)]
    assert "2 X-rays are in the trash." in page.text
    assert not Radiograph.objects.visible_to(alice).exists()
    assert not Prediction.objects.visible_to(alice).exists()
    assert Radiograph.objects.in_trash_of(alice).count() == 2
    assert as_alice.get(f"/radiographs/{radiograph.id}/").status_code == 404


def test_a_selection_with_one_that_is_not_there_deletes_none(
    as_alice: Client, radiograph: Radiograph
) -> None:
    answer = as_alice.post("/radiographs/delete/", {"id": [str(radiograph.id), NOBODYS_ID]})
    assert answer.status_code == 404
    assert Radiograph.objects.count() == 1


def test_nothing_selected_is_said(as_alice: Client, radiograph: Radiograph) -> None:
    assert "Tick the X-rays to delete first." in as_alice.get("/radiographs/delete/", follow=True).text


@pytest.mark.parametrize("method", ["get", "post"])
def test_what_is_no_id_is_not_found(as_alice: Client, method: str) -> None:
    assert getattr(as_alice, method)("/radiographs/delete/", {"id": "1; drop table"}).status_code == 404
