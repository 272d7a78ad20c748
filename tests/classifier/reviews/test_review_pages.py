"""Reviews on the page of a result, and the worklist."""

import re

import pytest
from django.contrib.auth.models import Permission
from django.test import Client

from classifier.core.models import User
from classifier.core.permissions import REVIEW
from classifier.radiographs.models import Prediction, Radiograph
from classifier.registry.models import ModelVersion
from classifier.reviews.models import Review
from tests.conftest import xray
from tests.people import signed_in
from tests.retraining_rows import num_queries, user_who_may
from tests.uploads import NOBODYS_ID, fail, finish, receive


@pytest.fixture
def as_rita(db: None) -> Client:
    """A reviewer."""
    return signed_in(user_who_may("rita", REVIEW))


def address(prediction: Prediction) -> str:
    return f"/radiographs/{prediction.radiograph_id}/review/{prediction.id}/"


def test_a_reviewer_confirms_with_one_button(as_rita: Client, radiograph: Radiograph) -> None:
    prediction = finish(radiograph)
    assert "Confirm: fracture seen" in " ".join(as_rita.get(f"/radiographs/{radiograph.id}/").text.split())
    answer = as_rita.post(address(prediction), {"confirm": "1"}, follow=True)
    review = Review.objects.get()
    assert (review.finding, review.class_name, review.prediction) == ("fracture", "", prediction)
    assert "confirms the answer" in answer.text


@pytest.mark.parametrize(("finding", "class_name"), [("fracture", "Spiral Fracture"), ("no_fracture", "")])
def test_a_reviewer_corrects(as_rita: Client, radiograph: Radiograph, finding: str, class_name: str) -> None:
    prediction = finish(radiograph)
    sent = {"finding": finding, "class_name": class_name, "comment": "Seen <b>twice</b>."}
    page = as_rita.post(address(prediction), sent, follow=True).text
    review = Review.objects.get()
    assert (review.finding, review.class_name) == (finding, class_name)
    assert "corrects the answer" in page
    assert "Seen &lt;b&gt;twice&lt;/b&gt;." in page


@pytest.mark.parametrize(
    "sent",
    [
        {"finding": ""},
        {"finding": "nonsense"},
        {"finding": "fracture", "class_name": "Broken heart"},
        {"finding": "no_fracture", "class_name": "Spiral Fracture"},
        {"finding": "fracture", "boxes": "nonsense"},
        {"finding": "fracture", "boxes": '[{"x": 0, "y": 0, "width": 1e9, "height": 5}]'},
        {"finding": "fracture", "boxes": '[{"x": 0, "y": 0, "width": 0, "height": 5}]'},
        {"finding": "fracture", "boxes": '[{"x": 0}]'},
        {"finding": "fracture", "boxes": "[7]"},
        {"finding": "fracture", "boxes": '{"x": 0}'},
        {"finding": "no_fracture", "boxes": '[{"x": 0, "y": 0, "width": 5, "height": 5}]'},
    ],
)
def test_what_cannot_be_kept_is_named_and_the_comment_is_not_lost(
    as_rita: Client, radiograph: Radiograph, sent: dict[str, str]
) -> None:
    prediction = finish(radiograph)
    answer = as_rita.post(address(prediction), {**sent, "comment": "Do not lose me"})
    assert answer.status_code == 400
    assert "errorlist" in answer.text
    assert "Do not lose me" in answer.text
    assert not Review.objects.exists()


def test_there_is_nothing_to_review_before_there_is_an_answer(
    as_rita: Client, radiograph: Radiograph
) -> None:
    waiting = radiograph.predictions.get()
    assert "What do you see?" not in as_rita.get(f"/radiographs/{radiograph.id}/").text
    assert as_rita.post(address(waiting), {"finding": "no_fracture"}).status_code == 409
    failed = fail(radiograph)
    assert "What do you see?" not in as_rita.get(f"/radiographs/{radiograph.id}/").text
    assert as_rita.post(address(failed), {"finding": "no_fracture"}).status_code == 409
    assert not Review.objects.exists()


@pytest.mark.parametrize("state", ["queued", "failed"])
def test_while_the_newest_prediction_has_no_answer_the_earlier_answer_is_reviewed(
    as_rita: Client, radiograph: Radiograph, model: ModelVersion, state: str
) -> None:
    old = finish(radiograph)
    newer = ModelVersion.objects.create(number=2, checksum="2" * 64, card=model.card)
    Prediction.objects.create(radiograph=radiograph, owner=radiograph.owner, model_version=newer, state=state)
    page = " ".join(as_rita.get(f"/radiographs/{radiograph.id}/").text.split())
    assert "Confirm: fracture seen" in page
    assert "Your review is about the answer of Model 1." in page
    assert f'action="{address(old)}"' in page
    assert "Copy the marks" not in page, "the marks of the earlier answer are not shown"

    refused = as_rita.post(
        address(old), {"finding": "no_fracture", "boxes": '[{"x": 1}]', "comment": "Keep me"}
    )
    assert refused.status_code == 400
    assert "can only be given with the finding" in refused.text
    assert "Keep me" in refused.text
    assert f'action="{address(old)}"' in refused.text
    assert "http-equiv" not in refused.text, "a reload would lose the comment"

    as_rita.post(address(old), {"confirm": "1"})
    assert (Review.objects.get().prediction, Review.objects.get().finding) == (old, "fracture")


def test_a_review_before_any_answer_is_refused_with_its_comment(
    as_rita: Client, radiograph: Radiograph
) -> None:
    sent = {"finding": "no_fracture", "comment": "Keep me"}
    refused = as_rita.post(address(radiograph.predictions.get()), sent)
    assert refused.status_code == 409
    assert "There is no answer to review yet." in refused.text
    assert "Keep me" in refused.text


def test_disagreement_is_shown_plainly_and_a_changed_mind_ends_it(
    as_rita: Client, bob: User, radiograph: Radiograph
) -> None:
    bob.user_permissions.add(Permission.objects.get(codename="review_radiograph"))
    as_bob = signed_in(bob)
    prediction = finish(radiograph)
    spiral = {"finding": "fracture", "class_name": "Spiral Fracture"}
    as_rita.post(address(prediction), spiral)
    page = as_bob.post(address(prediction), {"finding": "no_fracture"}, follow=True).text
    assert "The reviewers disagree." in page
    assert "rita: Spiral fracture" in page
    assert "bob: No fracture" in page
    worklist = as_rita.get("/reviews/").text
    assert "Reviewers disagree" in worklist
    page = as_bob.post(address(prediction), spiral, follow=True).text
    assert "The reviewers disagree." not in page
    assert "superseded" in page
    assert radiograph._file_name not in as_rita.get("/reviews/").text


def test_the_owner_reads_what_was_said_but_may_not_review(
    as_alice: Client, as_rita: Client, radiograph: Radiograph
) -> None:
    prediction = finish(radiograph)
    as_rita.post(address(prediction), {"finding": "not_assessable", "comment": "Too dark."})
    page = as_alice.get(f"/radiographs/{radiograph.id}/").text
    assert "Too dark." in page
    assert "What do you see?" not in page
    assert as_alice.post(address(prediction), {"finding": "no_fracture"}).status_code == 404
    assert Review.objects.count() == 1


def test_the_boxes_of_the_reviews_that_count_lie_over_the_picture(
    as_alice: Client, as_rita: Client, radiograph: Radiograph
) -> None:
    prediction = finish(radiograph)
    for x in (1, 3):
        boxes = f'[{{"x": {x}, "y": 2, "width": 10, "height": 12}}]'
        as_rita.post(address(prediction), {"finding": "fracture", "boxes": boxes})
    page = as_alice.get(f"/radiographs/{radiograph.id}/").text
    assert "Show boxes of reviewers (1)" in page
    assert '<rect class="review-box is-first" x="3.0" y="2.0" width="10.0" height="12.0"/>' in page
    assert "boxes.js" not in page, "only reviewers draw"
    assert 'id="drawing"' not in page


def test_a_refused_review_keeps_its_boxes(as_rita: Client, radiograph: Radiograph) -> None:
    prediction = finish(radiograph)
    boxes = '[{"x": 1, "y": 2, "width": 10, "height": 12}]'
    page = as_rita.post(address(prediction), {"finding": "", "boxes": boxes}).text
    assert (
        'value="[{&quot;x&quot;: 1, &quot;y&quot;: 2, &quot;width&quot;: 10, &quot;height&quot;: 12}]"'
        in page
    )


def test_the_enter_key_saves_the_chosen_finding_instead_of_confirming(
    as_rita: Client, radiograph: Radiograph
) -> None:
    finish(radiograph)
    form = as_rita.get(f"/radiographs/{radiograph.id}/").text.partition('id="review-form"')[2]
    first = re.search(r"<button[^>]*>[^<]*", form)
    assert first
    assert "confirm" not in first[0]
    assert "Save review" in first[0]


def test_a_review_of_another_radiograph_is_no_page(as_rita: Client, radiograph: Radiograph) -> None:
    prediction = finish(radiograph)
    wrong = f"/radiographs/{NOBODYS_ID}/review/{prediction.id}/"
    assert as_rita.post(wrong, {"finding": "no_fracture"}).status_code == 404


def test_the_worklist_is_for_reviewers(as_alice: Client, client: Client, radiograph: Radiograph) -> None:
    assert as_alice.get("/reviews/").status_code == 404
    assert ">Reviews<" not in as_alice.get("/").text
    assert client.get("/reviews/").status_code == 302


def test_the_worklist_has_doubtful_findings_first_and_filters_by_finding(
    as_rita: Client, as_alice: Client, alice: User, model: ModelVersion
) -> None:
    likely, doubtful, likelier = (receive(alice) for _ in range(3))
    finish(likely, fracture_probability=0.6, review_rank=2, review_order=0.4)
    finish(doubtful, finding="doubtful", fracture_probability=0.1, review_rank=0, review_order=0.9)
    finish(likelier, fracture_probability=0.9, review_rank=2, review_order=0.1)

    def listed(path: str) -> list[str]:
        return re.findall(r"#reviews\">([^<]+)<", as_rita.get(path).text)

    assert listed("/reviews/") == [str(one) for one in (doubtful, likelier, likely)]
    assert listed("/reviews/?finding=fracture_seen") == [str(one) for one in (likelier, likely)]
    assert listed("/reviews/?finding=no_fracture_seen") == []


def test_the_queries_of_the_worklist_do_not_grow_with_its_rows(
    as_rita: Client, alice: User, model: ModelVersion
) -> None:
    def add(number: int) -> None:
        for radiograph in Radiograph.objects.bulk_create(
            Radiograph(owner=alice, _file_name="x", sha256="0" * 64, width=9, height=9) for _ in range(number)
        ):
            Prediction.objects.create(
                radiograph=radiograph,
                owner=alice,
                model_version=model,
                state="succeeded",
                review_rank=0,
                confidence=0.1,
            )

    add(1)
    with_one = num_queries(as_rita, "/reviews/")
    add(40)
    assert num_queries(as_rita, "/reviews/") == with_one


def test_of_a_long_worklist_the_first_500_are_listed(
    as_rita: Client, alice: User, model: ModelVersion
) -> None:
    def add(number: int) -> None:
        radiographs = Radiograph.objects.bulk_create(
            Radiograph(owner=alice, _file_name="x", sha256="0" * 64, width=9, height=9) for _ in range(number)
        )
        Prediction.objects.bulk_create(
            Prediction(
                radiograph=row,
                owner=alice,
                model_version=model,
                state="succeeded",
                review_rank=0,
                confidence=0.1,
            )
            for row in radiographs
        )

    add(500)
    assert "500 X-rays to review" in as_rita.get("/reviews/").text
    assert "More than" not in as_rita.get("/reviews/").text
    add(1)
    assert "More than 500 X-rays to review" in as_rita.get("/reviews/").text
    last = as_rita.get("/reviews/?page=21").text
    assert len(re.findall("#reviews", last)) == 500 - 20 * 24
    assert 'aria-current="page">21<' in as_rita.get("/reviews/?page=22").text, "the last one"


def test_predicting_again_adds_an_answer_beside_the_old_one(
    as_alice: Client, as_bob: Client, radiograph: Radiograph
) -> None:
    finish(radiograph)
    assert "Predict again" not in as_alice.get(f"/radiographs/{radiograph.id}/").text
    newer = ModelVersion.objects.create(number=2, checksum="2" * 64, card={"classes": ["A"]})
    newer.promotions.create()
    assert "Predict again with the live model" in as_alice.get(f"/radiographs/{radiograph.id}/").text
    assert as_bob.post("/predictions/again/", {"id": str(radiograph.id)}).status_code == 404
    as_alice.post("/predictions/again/", {"id": str(radiograph.id)})
    assert radiograph.predictions.count() == 2
    Prediction.objects.filter(model_version=newer).update(
        state="succeeded", in_distribution=True, abstained=False, class_name="A", confidence=0.5
    )
    page = as_alice.get(f"/radiographs/{radiograph.id}/").text
    assert "Other model versions" in page
    assert "Fracture seen, 93" in page


def test_a_selection_is_predicted_again_with_progress(
    as_alice: Client, as_bob: Client, alice: User, model: ModelVersion
) -> None:
    radiographs = [receive(alice, xray(f"{number}.png")) for number in range(3)]
    for radiograph in radiographs:
        finish(radiograph)
    newer = ModelVersion.objects.create(number=2, checksum="2" * 64, card={"classes": ["A"]})
    newer.promotions.create()
    ids = {"id": [str(radiograph.id) for radiograph in radiographs]}
    assert "Predict these 3 X-rays again?" in as_alice.get("/predictions/again/", ids).text
    batch = as_alice.post("/predictions/again/", ids).headers["Location"]
    page = as_alice.get(batch).text
    assert "0 of 3 done" in page
    seen = re.search(r"seen=([^\"]+)\"", page)
    assert seen
    assert as_alice.get(f"{batch}progress/", {"seen": seen[1]}).status_code == 204
    newer.predictions.update(state="succeeded")
    assert "All 3 done" in as_alice.get(f"{batch}progress/", {"seen": seen[1]}).text
    assert as_bob.get(batch).status_code == 404
    again = as_alice.post("/predictions/again/", ids, follow=True)
    assert "has already received all of these X-rays" in again.text
