"""A file name may be a patient's name: only the owner sees it, and it is deleted with the X-ray."""

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.template import Context, Template, TemplateSyntaxError
from django.test import Client

from classifier.core.models import AuditEntry, User
from classifier.core.permissions import REVIEW
from classifier.radiographs.models import Radiograph
from classifier.registry.models import ModelVersion, Promotion
from tests.conftest import xray
from tests.people import signed_in
from tests.retraining_rows import make_candidate, user_who_may
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


def test_a_reviewer_who_asks_for_new_predictions_sees_numbers(
    as_rita: Client, alice: User, radiograph: Radiograph
) -> None:
    confirmation = as_rita.get(f"/predictions/again/?id={radiograph.id}").text
    Radiograph.objects.create(owner=alice, _file_name=NAME, sha256="0" * 64, width=9, height=9)
    Promotion.objects.create(model_version=make_candidate())
    ids = [str(row.id) for row in Radiograph.objects.all()]
    batch = as_rita.post("/predictions/again/", {"id": ids}, follow=True).text
    for page in (confirmation, batch):
        assert f"X-ray {str(radiograph.id)[:8]}" in page
        assert "Meier" not in page


def test_the_administration_shows_numbers(radiograph: Radiograph) -> None:
    client = signed_in(User.objects.create_superuser("adam"))
    prediction = radiograph.predictions.get()
    for page in (
        "radiograph/",
        f"radiograph/{radiograph.id}/change/",
        f"radiograph/{radiograph.id}/delete/",
        "prediction/",
        f"prediction/{prediction.id}/change/",
    ):
        answer = client.get(f"/admin/radiographs/{page}")
        assert answer.status_code == 200, page
        assert "Meier" not in answer.text, page
    # A search that finds X-rays by their file name tells the name, letter by letter.
    for page in ("radiographs/radiograph/", "radiographs/prediction/", "reviews/review/"):
        assert str(radiograph.id)[:8] not in client.get(f"/admin/{page}?q=Meier").text, page


def test_a_template_cannot_read_the_name_without_saying_who_looks(
    alice: User, bob: User, radiograph: Radiograph
) -> None:
    def rendered(template: str, user: User) -> str:
        context = Context({"radiograph": radiograph, "user": user})
        return Template("{% load callus radiographs %}" + template).render(context)

    assert rendered("{{ radiograph|name_for:user }}", alice) == NAME
    assert rendered("{{ radiograph|name_for:user }}", bob) == str(radiograph)
    public = [field.name for field in Radiograph._meta.fields if not field.name.startswith("_")]
    assert len(public) >= 8
    for name in ("name", *public):
        assert "Meier" not in rendered(f"{{{{ radiograph.{name} }}}}", bob)
    with pytest.raises(TemplateSyntaxError):
        rendered("{{ radiograph._file_name }}", bob)


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
        assert Radiograph.objects.newest_first()[0]._file_name == kept
