"""A file's name may be a patient's: its owner alone sees it, and it goes with the X-ray."""

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from classifier.core.models import AuditEntry, User
from classifier.core.permissions import REVIEW
from classifier.radiographs.models import Radiograph
from classifier.registry.models import ModelVersion
from tests.conftest import xray
from tests.people import signed_in
from tests.retraining_rows import user_who_may
from tests.uploads import finish, receive

NAME = "Meier_Hans_19700101.png"


@pytest.fixture
def radiograph(alice: User, model: ModelVersion) -> Radiograph:
    radiograph = receive(alice, xray(NAME))
    finish(radiograph, abstained=True, review_rank=1)
    return radiograph


@pytest.fixture
def as_rita(db: None) -> Client:
    return signed_in(user_who_may("rita", REVIEW))


def pages_of(radiograph: Radiograph) -> list[str]:
    one = f"radiographs/{radiograph.id}/"
    return [f"/{one}", f"/{one}answer/", f"/api/v1/{one}"]


def test_its_owner_sees_the_name(as_alice: Client, radiograph: Radiograph) -> None:
    for page in ["/", "/radiographs/", *pages_of(radiograph)]:
        assert page.endswith("answer/") or NAME in as_alice.get(page).text, page
    for page in (f"/radiographs/{radiograph.id}/image/", f"/api/v1/radiographs/{radiograph.id}/image/"):
        answer = as_alice.get(page)
        assert NAME in answer.headers["Content-Disposition"]
        assert b"".join(answer.streaming_content)  # type: ignore[arg-type]


def test_a_reviewer_sees_a_number_instead(as_rita: Client, radiograph: Radiograph) -> None:
    for page in ["/reviews/", "/api/v1/reviews/worklist/", *pages_of(radiograph)]:
        answer = as_rita.get(page)
        assert answer.status_code == 200
        assert "Meier" not in answer.text, page
        assert page.endswith("answer/") or f"X-ray {str(radiograph.id)[:8]}" in answer.text, page
    for what in ("image", "thumbnail"):
        answer = as_rita.get(f"/radiographs/{radiograph.id}/{what}/")
        assert "Meier" not in answer.headers["Content-Disposition"]
        assert b"".join(answer.streaming_content)  # type: ignore[arg-type]
    answer = as_rita.get(f"/api/v1/radiographs/{radiograph.id}/image/")
    assert "Meier" not in answer.headers["Content-Disposition"]
    assert b"".join(answer.streaming_content)  # type: ignore[arg-type]


def test_the_audit_log_which_outlives_the_x_ray_does_not_know_the_name(
    as_rita: Client, radiograph: Radiograph
) -> None:
    review = {"finding": "no_fracture"}
    prediction = radiograph.predictions.get()
    answer = as_rita.post(f"/radiographs/{radiograph.id}/review/{prediction.id}/", review)
    assert answer.status_code == 302, answer.text
    entry = AuditEntry.objects.about(radiograph).get()
    assert entry.subject_name == f"X-ray {str(radiograph.id)[:8]}"
    assert "Meier" not in str(vars(entry))


def test_the_page_for_uploads_says_that_names_are_kept(as_alice: Client, model: ModelVersion) -> None:
    assert "neither contains a patient's name" in as_alice.get("/").text.replace("&#x27;", "'")


def test_the_name_is_cleaned_before_it_is_kept(as_alice: Client, model: ModelVersion) -> None:
    for sent, kept in (("C:\\Users\\hans\\wrist.png", "wrist.png"), ("a\u202egnp.exe", "agnp.exe")):
        as_alice.post("/", {"file": SimpleUploadedFile(sent, xray().read())})
        assert Radiograph.objects.newest_first()[0].name == kept
