"""Clinicians confirm or correct answers; what they disagree on is shown, not averaged away."""

import pytest

from classifier.core.errors import NotAllowedNow
from classifier.core.models import AuditEntry, User
from classifier.radiographs.models import Prediction, Radiograph
from classifier.registry.models import ModelVersion
from classifier.reviews.models import Consensus, Review
from classifier.reviews.services import ReviewRefused, record_review
from tests.retraining import ONE, OTHER, answered, person, ready_dataset, say


@pytest.fixture
def rita(db: None) -> User:
    return person("rita", "Reviewers")


@pytest.fixture
def raj(db: None) -> User:
    return person("raj", "Reviewers")


def worklist() -> list[Prediction]:
    return list(Prediction.objects.worklist())


def test_a_review_keeps_which_answer_of_which_model_it_judged(
    rita: User, alice: User, model: ModelVersion
) -> None:
    prediction = answered(alice, model, class_name=ONE)

    confirmed = say(rita, prediction, ONE)
    corrected = record_review(
        reviewer=rita, prediction=prediction, finding="fracture", class_name=OTHER, comment="  See the rim. "
    )

    assert (confirmed.prediction.model_version, confirmed.radiograph.owner) == (model, alice)
    assert confirmed.confirms
    assert not corrected.confirms
    assert corrected.comment == "See the rim."
    assert AuditEntry.objects.about(prediction.radiograph).count() == 2


def test_of_each_reviewer_the_latest_word_counts(
    rita: User, raj: User, alice: User, model: ModelVersion
) -> None:
    prediction = answered(alice, model)
    for class_name in (ONE, OTHER):
        say(rita, prediction, class_name)
    say(raj, prediction, ONE)

    latest = Review.objects.counted().filter(radiograph=prediction.radiograph)

    assert {(review.reviewer, review.class_name) for review in latest} == {(rita, OTHER), (raj, ONE)}
    assert Review.objects.count() == 3


def test_reviewers_who_say_different_things_disagree_until_one_changes_their_mind(
    rita: User, raj: User, alice: User, model: ModelVersion
) -> None:
    prediction = answered(alice, model)

    def consensus() -> Consensus:
        return Consensus(list(Review.objects.counted().filter(radiograph=prediction.radiograph)))

    say(rita, prediction, ONE)
    agreed = consensus().agreed
    assert agreed is not None
    assert agreed.class_name == ONE
    say(raj, prediction, finding="no_fracture")
    assert consensus().is_disagreement
    assert consensus().agreed is None
    assert [(one.id, one.get_review_rank_display()) for one in worklist()] == [
        (prediction.id, "reviewers disagree")
    ]
    say(raj, prediction, ONE)
    assert not consensus().is_disagreement
    assert worklist() == []


def test_a_fracture_without_a_kind_agrees_with_one_that_is_named(
    rita: User, raj: User, alice: User, model: ModelVersion
) -> None:
    prediction = answered(alice, model)
    say(rita, prediction, "")
    say(raj, prediction, OTHER)

    consensus = Consensus(list(Review.objects.counted().filter(radiograph=prediction.radiograph)))

    assert not consensus.is_disagreement
    assert consensus.agreed is not None
    assert consensus.agreed.class_name == OTHER


def test_boxes_of_a_fracture_are_kept(rita: User, alice: User, model: ModelVersion) -> None:
    prediction = answered(alice, model)
    boxes = [{"x": 1.5, "y": 2, "width": 110, "height": 110}]

    record_review(reviewer=rita, prediction=prediction, finding="fracture", boxes=boxes)

    assert Review.objects.get().boxes == [{"x": 1.5, "y": 2.0, "width": 110.0, "height": 110.0}]


def test_the_worklist_begins_with_the_doubtful_then_disagreements_then_the_most_probable_fractures(
    rita: User, raj: User, alice: User, model: ModelVersion
) -> None:
    likely, less_likely = (answered(alice, model, probability=p, seed=n) for n, p in enumerate((0.9, 0.6)))
    doubtful, less = (
        answered(alice, model, probability=p, finding="doubtful", seed=n) for n, p in enumerate((0.3, 0.2), 2)
    )
    disputed = answered(alice, model, seed=4)
    say(rita, disputed, ONE)
    say(raj, disputed, OTHER)
    settled = answered(alice, model, seed=5)
    say(rita, settled, ONE)

    assert worklist() == [doubtful, less, disputed, likely, less_likely]


def test_what_is_in_the_trash_is_not_on_the_worklist(alice: User, model: ModelVersion) -> None:
    prediction = answered(alice, model)
    Radiograph.objects.update(deleted_at=prediction.created_at)

    assert worklist() == []


@pytest.mark.parametrize(
    ("finding", "class_name", "message"),
    [
        ("fracture", "Broken somehow", "Choose one of the kinds"),
        ("no_fracture", ONE, "only be given with the finding"),
        ("maybe", "", "The finding must be one of"),
    ],
)
def test_a_review_that_says_nothing_is_refused(
    rita: User, alice: User, model: ModelVersion, finding: str, class_name: str, message: str
) -> None:
    prediction = answered(alice, model)

    with pytest.raises(ReviewRefused, match=message):
        record_review(reviewer=rita, prediction=prediction, finding=finding, class_name=class_name)
    assert not Review.objects.exists()


def test_a_class_of_the_newest_data_set_may_be_chosen_too(
    rita: User, alice: User, model: ModelVersion
) -> None:
    ready_dataset().__class__.objects.update(classes=[ONE, "Not fractured"])

    assert say(rita, answered(alice, model), "Not fractured").class_name == "Not fractured"


def test_there_is_nothing_to_review_before_the_answer(rita: User, alice: User, model: ModelVersion) -> None:
    prediction = answered(alice, model)
    prediction.state = Prediction.State.RUNNING

    with pytest.raises(NotAllowedNow):
        say(rita, prediction)


def test_a_reviewer_sees_everybodys_x_rays_and_deletes_only_their_own(
    rita: User, alice: User, bob: User, model: ModelVersion
) -> None:
    theirs, own = answered(alice, model).radiograph, answered(rita, model).radiograph

    assert set(Radiograph.objects.visible_to(rita)) == {theirs, own}
    assert set(Prediction.objects.visible_to(rita)) == set(Prediction.objects.all())
    assert list(Radiograph.objects.owned_by(rita)) == [own]
    assert list(Radiograph.objects.visible_to(bob)) == []
    say(rita, theirs.predictions.get())
    assert Review.objects.visible_to(alice).count() == 1
    assert Review.objects.visible_to(bob).count() == 0
