"""Data sets: uploaded, made from reviews, and what their pages show."""

import io
import re
from pathlib import Path

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from PIL import Image

from classifier.core.models import Notification, Site, User
from classifier.core.permissions import VIEW
from classifier.datasets.models import DatasetVersion
from classifier.registry.models import ModelVersion
from classifier.reviews.models import Review
from ml.classes import FRACTURE_CLASSES
from tests.data_sets import draw_zip, zip_of
from tests.ml.drawings import BREAKS
from tests.people import signed_in
from tests.retraining_rows import PATH, make_dataset, num_queries, trainer, user_who_may
from tests.reviewed_xrays import owner, reviewed
from tests.uploads import finish, receive

pytestmark = pytest.mark.usefixtures("model")


@pytest.fixture
def as_tess(db: None) -> Client:
    return trainer()


def ten_classes() -> SimpleUploadedFile:
    kinds = [BREAKS[number % len(BREAKS)] for number in range(10)]
    return SimpleUploadedFile("drawn.zip", draw_zip(1, kinds, FRACTURE_CLASSES), "application/zip")


PAGES = ["/datasets/", "/datasets/1/", "/datasets/1/progress/", "/datasets/1/image/?path=x"]
ACTIONS = ["/datasets/upload/", "/datasets/from-reviews/"]


@pytest.mark.parametrize("page", [*PAGES, *ACTIONS])
def test_an_ordinary_user_finds_nothing(as_alice: Client, page: str) -> None:
    make_dataset(id=1)
    assert as_alice.get(page).status_code == 404
    assert as_alice.post(page).status_code == 404


@pytest.mark.parametrize("page", ACTIONS)
def test_who_may_only_look_makes_none(page: str, db: None) -> None:
    viewer = signed_in(user_who_may("vera", VIEW))
    assert viewer.get("/datasets/").status_code == 200
    assert "Upload zip" not in viewer.get("/datasets/").text
    assert viewer.get(page).status_code == viewer.post(page).status_code == 404


def test_an_uploaded_zip_waits_for_its_audit(as_tess: Client) -> None:
    answer = as_tess.post("/datasets/upload/", {"file": ten_classes(), "note": "From the ward"})
    dataset = DatasetVersion.objects.get()
    assert answer.headers["Location"] == f"/datasets/{dataset.pk}/"
    page = as_tess.get(f"/datasets/{dataset.pk}/").text
    assert "Waiting for the training worker." in page
    assert "From the ward" in page
    assert "/datasets/1/progress/" in page


def test_the_script_gets_json(as_tess: Client) -> None:
    headers = {"Accept": "application/json"}
    answer = as_tess.post("/datasets/upload/", {"file": ten_classes()}, headers=headers)
    assert (answer.status_code, answer.json()) == (201, {"location": "/datasets/1/"})
    bad = SimpleUploadedFile("bad.zip", b"not a zip at all")
    refused = as_tess.post("/datasets/upload/", {"file": bad}, headers=headers)
    assert refused.status_code == 400
    assert "zip" in refused.json()["detail"]


def test_a_refused_zip_gets_a_sentence_and_leaves_nothing(as_tess: Client) -> None:
    unknown = SimpleUploadedFile("beach.zip", zip_of({"Beach/1.png": b"x", "Sea/2.png": b"x"}))
    answer = as_tess.post("/datasets/upload/", {"file": unknown})
    assert answer.status_code == 400
    assert "errorlist" in answer.text
    assert not DatasetVersion.objects.exists()


def test_a_version_shows_what_the_audit_found(as_tess: Client) -> None:
    dataset = make_dataset()
    page = as_tess.get(f"/datasets/{dataset.pk}/").text
    for words in ("130", "Files that cannot be read", "The PNG file is cut off.", "a/1.png = a/2.png"):
        assert words in page
    assert "a/3.png = b/3.png" in page
    assert "8 + 2 + 3" in page
    assert "hx-get" not in page[page.index('id="dataset"') :]
    assert "path=Spiral%20Fracture%2FTrain%2F07%20%26%20more.png" in page


def test_a_refused_version_says_why(as_tess: Client) -> None:
    dataset = make_dataset(state="failed", error="The class Beach is unknown.", checksum=None)
    assert "The class Beach is unknown." in as_tess.get(f"/datasets/{dataset.pk}/").text
    assert "The class Beach is unknown." in as_tess.get("/datasets/").text


def test_the_page_of_an_audit_is_told_of_each_step_once(as_tess: Client) -> None:
    dataset = make_dataset(state="running", phase="audit", step=3, steps=9, checksum=None)
    page = as_tess.get(f"/datasets/{dataset.pk}/").text
    assert "3 of 9" in page
    seen = re.search(r"seen=([^\"]+)\"", page)
    assert seen
    progress = f"/datasets/{dataset.pk}/progress/?seen={seen[1]}"
    assert as_tess.get(progress).status_code == 204
    DatasetVersion.objects.update(step=4)
    assert "4 of 9" in as_tess.get(progress).text
    DatasetVersion.objects.update(state="succeeded", checksum="5" * 64)
    finished = as_tess.get(progress).text
    assert "Sample images" in finished
    assert "hx-get" not in finished


def test_its_images_are_shown_small_private_and_only_from_the_archive(as_tess: Client) -> None:
    dataset = make_dataset()
    where = f"/datasets/{dataset.pk}/image/"
    answer = as_tess.get(where, {"path": PATH})
    assert answer.headers["Content-Type"] == "image/jpeg"
    assert answer.headers["Cache-Control"] == "private, no-cache"
    assert max(Image.open(io.BytesIO(answer.getvalue())).size) <= 192
    kept = as_tess.get(where, {"path": PATH}, headers={"If-None-Match": answer.headers["ETag"]})
    assert kept.status_code == 304
    for path in ("", "../manifest.csv", "/etc/passwd", "nothing.png", "a\0b"):
        assert as_tess.get(where, {"path": path}).status_code == 404


@pytest.mark.parametrize("length", [0, 100, -100])
def test_an_image_of_a_damaged_archive_is_not_found(as_tess: Client, files: Path, length: int) -> None:
    dataset = make_dataset()
    archive = files / dataset.archive
    archive.write_bytes(archive.read_bytes()[:length])
    assert as_tess.get(f"/datasets/{dataset.pk}/image/", {"path": PATH}).status_code == 404


def test_a_version_is_made_of_reviews_of_sites_that_allow_it(
    as_tess: Client, alice: User, model: ModelVersion
) -> None:
    parent = make_dataset()
    prediction = finish(receive(alice))
    Review.objects.create(
        radiograph=prediction.radiograph, prediction=prediction, reviewer=alice, finding="no_fracture"
    )
    refused = as_tess.post("/datasets/from-reviews/", {"parent": parent.pk})
    assert refused.status_code == 409
    assert "There are no reviewed X-rays from a site that allows training." in refused.text
    alice.site = Site.objects.create(name="Ward", allows_training=True)
    alice.save()
    as_tess.post("/datasets/from-reviews/", {"parent": parent.pk, "note": "With reviews"})
    made = DatasetVersion.objects.get(source="reviews")
    assert (made.parent, made.note) == (parent, "With reviews")


def test_the_queries_of_the_list_do_not_grow_with_its_rows(as_tess: Client) -> None:
    make_dataset()
    with_one = num_queries(as_tess, "/datasets/")
    for _ in range(5):
        make_dataset()
    assert num_queries(as_tess, "/datasets/") == with_one


def test_notifications_are_counted_listed_and_marked_read(as_tess: Client, as_alice: Client) -> None:
    dataset = make_dataset()
    tess, alice = User.objects.get(username="tess"), User.objects.get(username="alice")
    for user, text in ((tess, "Data set 1 is ready."), (alice, "Not for Tess.")):
        Notification.objects.create(user=user, text=text, subject="dataset_version", subject_id=dataset.pk)
    assert "Notifications, 1 unread" in as_tess.get("/").text
    page = as_tess.get("/notifications/").text
    assert f'<a href="/datasets/{dataset.pk}/">Data set 1 is ready.</a>' in page
    assert "Not for Tess." not in page
    assert "1 unread" not in as_tess.post("/notifications/read/", follow=True).text
    assert Notification.objects.unread().get().user == alice
    assert as_alice.get("/notifications/").status_code == 404
    assert as_alice.post("/notifications/read/").status_code == 404


def test_the_page_counts_the_reviewed_x_rays_with_a_usable_label_and_names_the_others(
    as_tess: Client, alice: User, model: ModelVersion
) -> None:
    make_dataset()
    of = owner()
    reviewed(of, model, "fracture", seed=1).reviews.update(class_name="Spiral Fracture")
    reviewed(of, model, "fracture", seed=2)
    reviewed(of, model, "fracture", "no_fracture", seed=3)
    reviewed(of, model, "not_assessable", seed=4)
    reviewed(alice, model, "fracture", seed=5)

    page = re.sub(r"<[^>]+>|\s+", " ", as_tess.get("/datasets/from-reviews/").text)
    text = re.sub(r" +", " ", page)

    assert "5 X-rays have been reviewed. 1 of them can train the kind of fracture" in text
    assert "; 1 without such a kind can train the finding only." in text
    assert "The others are left out: 1: Owner has no site 1: Reviewers disagree 1: Not assessable" in text


def test_the_preview_is_that_of_the_chosen_data_set_or_of_the_newest(as_tess: Client) -> None:
    assert "There is no data set whose split can be shown." in as_tess.get("/datasets/from-reviews/").text
    first, newest = make_dataset(), make_dataset()
    for asked, shown in ((str(first.pk), first), (str(newest.pk), newest), ("x", newest), ("9" * 30, newest)):
        page = as_tess.get("/datasets/from-reviews/", {"parent": asked}).text
        assert f"Test images of {shown}: <strong>1</strong> stay test images." in page
    chosen = as_tess.get("/datasets/from-reviews/", {"parent": first.pk}).text
    assert f'<option value="{first.pk}" selected>' in chosen
