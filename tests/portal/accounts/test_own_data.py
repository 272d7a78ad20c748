import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from knox.models import AuthToken
from PIL import Image

from classifier.core.models import User
from classifier.radiographs.models import Prediction, Radiograph
from classifier.radiographs.services import trash_radiograph
from classifier.registry.models import ModelVersion, Promotion
from classifier.reviews.models import Review
from tests.conftest import PASSWORD, xray
from tests.people import signed_in
from tests.retraining import ONE, person, say
from tests.uploads import finish, receive

pytestmark = pytest.mark.usefixtures("no_failed_attempts", "model")


def read(answer: Any) -> zipfile.ZipFile:
    assert answer.status_code == 200
    archive = zipfile.ZipFile(io.BytesIO(b"".join(answer.streaming_content)))
    assert archive.testzip() is None
    return archive


def test_an_export_holds_all_of_ones_own_and_nothing_of_others(
    as_alice: Client, alice: User, bob: User, radiograph: Radiograph
) -> None:
    finish(radiograph)
    deleted = receive(alice, xray("deleted.png"))
    trash_radiograph(radiograph=deleted)
    theirs = receive(bob, xray("theirs.png"))
    Review.objects.create(
        radiograph=theirs, prediction=theirs.predictions.get(), reviewer=alice, finding="no_fracture"
    )
    archive = read(as_alice.get("/account/export/"))
    mine = json.loads(archive.read("radiographs.json"))
    assert {row["name"] for row in mine} == {radiograph._file_name, "deleted.png"}
    assert {row["predictions"][0]["state"] for row in mine} == {"succeeded", "queued"}
    assert json.loads(archive.read("account.json"))["username"] == "alice"
    assert [row["finding"] for row in json.loads(archive.read("reviews.json"))] == ["no_fracture"]
    with Image.open(io.BytesIO(archive.read(f"images/{radiograph.id}.png"))) as picture:
        assert picture.size == (radiograph.width, radiograph.height)
    assert f"images/{deleted.id}.png" in archive.namelist()
    assert not any(str(theirs.id) in name for name in archive.namelist())
    assert "theirs.png" not in archive.read("radiographs.json").decode()


def test_programs_get_the_same_zip(client: Client, alice: User, radiograph: Radiograph) -> None:
    _, token = AuthToken.objects.create(alice)
    assert client.get("/api/v1/account/export/").status_code == 401
    answer = client.get("/api/v1/account/export/", headers={"Authorization": f"Bearer {token}"})
    assert f"images/{radiograph.id}.png" in read(answer).namelist()


def test_an_account_goes_with_all_that_is_its_own(
    as_alice: Client,
    alice: User,
    bob: User,
    radiograph: Radiograph,
    files: Path,
    django_capture_on_commit_callbacks: Any,
) -> None:
    AuthToken.objects.create(alice)
    trash_radiograph(radiograph=receive(alice, xray("deleted.png")))
    theirs = receive(bob, xray("theirs.png"))
    review = Review.objects.create(
        radiograph=theirs, prediction=theirs.predictions.get(), reviewer=alice, finding="no_fracture"
    )
    with django_capture_on_commit_callbacks(execute=True):
        page = as_alice.post("/account/delete/", {"password": PASSWORD}, follow=True)
    assert "Your account and all your X-rays have been deleted." in page.text
    assert not User.objects.filter(username="alice").exists()
    assert list(Radiograph.objects.all()) == [theirs]
    assert AuthToken.objects.count() == 0
    assert all(str(theirs.id) in path.name for path in files.rglob("*") if path.is_file())
    review.refresh_from_db()
    assert (review.reviewer, review.finding) == (None, "no_fracture")
    assert as_alice.get("/radiographs/").status_code == 302


def test_the_latest_review_of_a_former_user_goes_on_to_count(
    bob: User,
) -> None:
    reviewers = [person(name, "Reviewers") for name in ("rita", "raj")]
    prediction = finish(receive(bob, xray("theirs.png")))
    for reviewer in reviewers:
        reviewer.set_password(PASSWORD)
        reviewer.save()
        say(reviewer, prediction, ONE)
        say(reviewer, prediction, finding="no_fracture")
    latest = set(Review.objects.counted())
    assert not Prediction.objects.worklist().exists()

    for reviewer in reviewers:
        deleted = signed_in(reviewer).post("/account/delete/", {"password": PASSWORD}, follow=True)
        assert "have been deleted" in deleted.text

    assert set(Review.objects.all()) == set(Review.objects.counted()) == latest
    page = signed_in(bob).get(f"/radiographs/{prediction.radiograph_id}/").text
    assert page.count("a former user") == 2
    assert "The reviewers disagree" not in page
    assert "superseded" not in page


def test_an_open_session_is_not_enough(as_alice: Client, alice: User, radiograph: Radiograph) -> None:
    page = as_alice.post("/account/delete/", {"password": "wrong"})
    assert "The password is wrong." in page.text
    for _ in range(5):
        as_alice.post("/account/delete/", {"password": "wrong"})
    assert as_alice.post("/account/delete/", {"password": PASSWORD}).status_code == 429
    assert User.objects.filter(id=alice.id).exists()
    assert Radiograph.objects.count() == 1


def test_the_page_says_what_is_kept(as_alice: Client) -> None:
    page = as_alice.get("/account/delete/").text
    assert "your X-rays in existing data set versions" in page
    assert "without your name" in page
    assert "your superseded reviews" in page


def test_the_only_admin_stays(client: Client, db: None) -> None:
    root = User.objects.create_superuser("root", password=PASSWORD)
    client.force_login(root)
    assert "You are the only admin" in client.post("/account/delete/", {"password": PASSWORD}).text
    assert User.objects.filter(id=root.id).exists()


def test_who_promoted_a_model_stays_on_record(
    as_alice: Client, alice: User, radiograph: Radiograph, model: ModelVersion
) -> None:
    Promotion.objects.create(model_version=model, promoted_by=alice)
    page = as_alice.post("/account/delete/", {"password": PASSWORD})
    assert "Ask an admin to deactivate your account" in page.text
    assert Radiograph.objects.filter(owner=alice).count() == 1
