"""Who may adjudicate decides a disagreement; the decision counts from then on, and of each reviewer one review does."""

import re
from typing import Any

import pytest

from classifier.core.models import AuditEntry, User
from classifier.datasets.reviewed_images import reviewed_images
from classifier.radiographs.models import Prediction
from classifier.registry.models import ModelVersion
from classifier.reviews.models import Consensus, Review
from classifier.training.reviewed_findings import count_reviewed_findings
from tests.people import api_client, signed_in
from tests.retraining import CLASSES, ONE, OTHER, answered, person, say
from tests.reviewed_xrays import owner

pytestmark = pytest.mark.django_db
BOX = {"x": 5.0, "y": 6.0, "width": 7.0, "height": 8.0}


@pytest.fixture
def rita(db: None) -> User:
    return person("rita", "Reviewers")


@pytest.fixture
def raj(db: None) -> User:
    return person("raj", "Reviewers")


@pytest.fixture
def ada(db: None) -> User:
    return person("ada", "Adjudicators")


@pytest.fixture
def disputed(rita: User, raj: User, model: ModelVersion) -> Prediction:
    prediction = answered(owner(), model)
    say(rita, prediction, ONE)
    say(raj, prediction, finding="no_fracture")
    return prediction


def page(user: User, prediction: Prediction) -> str:
    text = signed_in(user).get(f"/radiographs/{prediction.radiograph_id}/").text
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text))


def decide(user: User, prediction: Prediction, **said: Any) -> Any:
    address = f"/radiographs/{prediction.radiograph_id}/adjudicate/{prediction.id}/"
    return signed_in(user).post(address, said, follow=True)


def decide_by_api(user: User, prediction: Prediction, **said: Any) -> Any:
    body = {"prediction": str(prediction.id), **said}
    return api_client(user).post("/api/v1/reviews/adjudicate/", body, format="json")


def test_a_decision_counts_for_page_worklist_data_set_and_recalibration(
    ada: User, rita: User, disputed: Prediction
) -> None:
    assert list(Prediction.objects.worklist()) == [disputed]
    assert reviewed_images(CLASSES).counts == {"used": 0, "reviewers_disagree": 1}

    answer = decide(ada, disputed, finding="fracture", class_name=OTHER, boxes="", comment="See the rim.")

    assert "Decision saved" in answer.text
    assert list(Prediction.objects.worklist()) == []
    used = reviewed_images(CLASSES).images
    assert [(image.label, image.finding.fractured) for image in used] == [(OTHER, True)]
    assert count_reviewed_findings().num_fractured == 1
    for user in (disputed.owner, rita, ada):
        text = page(user, disputed)
        assert f"Reviewers disagreed; the decision is: {OTHER}. ada," in text
        assert f"Decided: {OTHER} See the rim. ada," in text
        assert "This decision counts instead of the reviews below." in text
        assert "The reviewers disagree." not in text
        assert text.index("Decided:") < text.index("raj on") < text.index("rita on")
    entry = AuditEntry.objects.about(disputed.radiograph).newest_first()[0]
    assert (entry.action, entry.actor, entry.detail["finding"]) == ("adjudicated", ada, OTHER)


def test_later_reviews_do_not_reopen_it_and_a_later_decision_replaces_it(
    ada: User, rita: User, raj: User, disputed: Prediction
) -> None:
    first = decide_by_api(ada, disputed, finding="fracture", boxes=[BOX])
    assert (first.status_code, first.json()["is_adjudication"]) == (201, True)
    say(rita, disputed, OTHER)
    assert list(Prediction.objects.worklist()) == []
    assert Review.objects.counted().get().boxes == [BOX]

    second = decide_by_api(person("abe", "Adjudicators"), disputed, finding="no_fracture")

    assert second.status_code == 201
    counted = Review.objects.counted().get()
    assert (counted.reviewer.username, counted.finding) == ("abe", "no_fracture")  # type: ignore[union-attr]
    listed = api_client(ada).get("/api/v1/reviews/").json()["results"]
    assert [(each["is_adjudication"], each["is_superseded"]) for each in listed] == [
        (True, False),
        (False, False),
        (True, True),
        (False, False),
        (False, True),
    ]
    assert "earlier decision" in page(ada, disputed)


def test_a_decision_stays_when_all_accounts_are_deleted(
    ada: User, rita: User, raj: User, disputed: Prediction
) -> None:
    decide(ada, disputed, finding="no_fracture")
    for user in (ada, rita, raj):
        user.delete()

    assert Review.objects.counted().get().is_adjudication
    assert "the decision is: No fracture. A former user," in page(disputed.owner, disputed)


def test_there_is_nothing_to_decide_where_reviewers_agree(
    ada: User, rita: User, alice: User, model: ModelVersion
) -> None:
    prediction = answered(alice, model)
    say(rita, prediction)

    assert "Save as decision" not in page(ada, prediction)
    assert decide(ada, prediction, finding="fracture").status_code == 409
    refused = decide_by_api(ada, prediction, finding="fracture")
    assert (refused.status_code, Review.objects.count()) == (409, 1)
    assert "nothing to decide" in refused.json()["detail"]


def test_reviewers_and_trainers_do_not_decide(rita: User, disputed: Prediction) -> None:
    for user in (rita, person("tara", "Trainers"), disputed.owner):
        assert "Save as decision" not in page(user, disputed)
        assert decide(user, disputed, finding="fracture").status_code == 404
        assert decide_by_api(user, disputed, finding="fracture").status_code == 404
    assert not Review.objects.filter(is_adjudication=True).exists()


def test_a_decision_that_is_not_valid_is_refused_with_the_form(ada: User, disputed: Prediction) -> None:
    assert "Save as decision" in page(ada, disputed)
    refused = decide(ada, disputed, finding="no_fracture", class_name=ONE)

    assert refused.status_code == 400
    assert "can only be given with the finding" in refused.text
    assert list(Prediction.objects.worklist()) == [disputed]


@pytest.mark.parametrize("is_deleted", [True, False])
def test_a_second_opinion_of_one_reviewer_counts_once(
    rita: User, alice: User, model: ModelVersion, is_deleted: bool
) -> None:
    prediction = answered(alice, model)
    say(rita, prediction, ONE)
    say(rita, prediction, finding="no_fracture")
    if is_deleted:
        rita.delete()

    counted = list(Review.objects.counted())

    assert [review.finding for review in counted] == ["no_fracture"]
    assert not Consensus(counted).is_disagreement
    text = page(alice, prediction)
    assert "The reviewers disagree." not in text
    assert "superseded" in text
