"""Which answer of a radiograph is on the worklist while it is predicted again, reviewed, or both."""

import json
from pathlib import Path
from typing import Any

import pytest

from classifier.core.leases import Lease
from classifier.core.models import User
from classifier.radiographs import jobs
from classifier.radiographs.jobs import run_next_prediction
from classifier.radiographs.models import Prediction
from classifier.radiographs.services import retry_prediction
from classifier.registry.models import ModelVersion, Promotion
from ml.serve.answer import Answer
from ml.serve.finding import Finding
from ml.serve.inference import Prediction as Kind
from tests.people import api_client, signed_in
from tests.retraining import ONE, OTHER, answered, person, say
from tests.servers import Portal, postgres_server


@pytest.fixture
def rita(db: None) -> User:
    return person("rita", "Reviewers")


@pytest.fixture
def raj(db: None) -> User:
    return person("raj", "Reviewers")


@pytest.fixture
def next_model(model: ModelVersion) -> ModelVersion:
    """Live since after `model` answered."""
    version = ModelVersion.objects.create(number=2, checksum="1" * 64, card=model.card, source="trained")
    Promotion.objects.create(model_version=version)
    return version


@pytest.fixture
def predicts(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Sets the answer of all models, and what happens while they predict."""

    class Predictor:
        answer = answer_of("doubtful", 0.15)
        meanwhile: list[Any] = []

        def predict(self, pixels: Any) -> Answer:
            for happen in self.meanwhile:
                happen()
            return self.answer

    predictor = Predictor()
    monkeypatch.setattr(jobs, "predictor", lambda version_id: predictor)
    return predictor


def answer_of(finding: Any, probability: float) -> Answer:
    kind = Kind(ONE, 0.5, {ONE: 0.5}, [ONE], False, True)
    return Answer(Finding(finding, probability, (), None, recognised=True, calibrated=True), kind)


def predict_again(user: User, prediction: Prediction) -> Prediction:
    """The new prediction, which waits."""
    signed_in(user).post("/predictions/again/", {"id": str(prediction.radiograph_id)})
    return prediction.radiograph.predictions.exclude(id=prediction.id).get()


def worklist(user: User) -> list[tuple[str, str]]:
    rows = api_client(user).get("/api/v1/reviews/worklist/").json()["results"]
    return [(row["prediction"], row["why"]) for row in rows]


def test_a_doubtful_answer_stays_on_the_worklist_until_the_next_one_is_there(
    rita: User, alice: User, model: ModelVersion, next_model: ModelVersion, predicts: Any
) -> None:
    old = answered(alice, model, finding="doubtful", probability=0.15)
    predicts.answer = answer_of("no fracture seen", 0.01)

    new = predict_again(alice, old)
    assert worklist(rita) == [(str(old.id), "doubtful")]
    run_next_prediction()
    assert worklist(rita) == [(str(new.id), "not reviewed yet")]


def test_a_doubtful_answer_stays_on_the_worklist_if_predicting_again_fails(
    rita: User, alice: User, model: ModelVersion, next_model: ModelVersion
) -> None:
    old = answered(alice, model, finding="doubtful", probability=0.15)
    new = predict_again(alice, old)

    claimed = Prediction.objects.claim(new.id)
    assert claimed is not None
    Lease(claimed).fail("The model cannot be loaded.")

    assert worklist(rita) == [(str(old.id), "doubtful")]


def test_an_x_ray_that_is_reviewed_while_it_is_predicted_does_not_return_to_the_worklist(
    rita: User, alice: User, model: ModelVersion, next_model: ModelVersion, predicts: Any
) -> None:
    old = answered(alice, model, finding="doubtful", probability=0.15)
    new = predict_again(alice, old)
    predicts.meanwhile = [lambda: say(rita, old, finding="no_fracture")]

    run_next_prediction()

    new.refresh_from_db()
    assert (new.state, new.review_rank, new.review_order) == ("succeeded", None, 0.85)
    assert worklist(rita) == []


def test_a_disagreement_moves_to_the_next_answer(
    rita: User, raj: User, alice: User, model: ModelVersion, next_model: ModelVersion, predicts: Any
) -> None:
    old = answered(alice, model)
    say(rita, old, ONE)
    say(raj, old, finding="no_fracture")

    new = predict_again(alice, old)
    assert worklist(rita) == [(str(old.id), "reviewers disagree")]
    run_next_prediction()
    assert worklist(rita) == [(str(new.id), "reviewers disagree")]


def test_a_disagreement_is_listed_at_the_newest_answer_whichever_was_reviewed(
    rita: User, raj: User, alice: User, model: ModelVersion, next_model: ModelVersion, predicts: Any
) -> None:
    old = answered(alice, model)
    new = predict_again(alice, old)
    run_next_prediction()
    new.refresh_from_db()

    say(rita, new, ONE)
    say(raj, old, finding="no_fracture")

    assert worklist(rita) == [(str(new.id), "reviewers disagree")]


def test_disagreements_are_ordered_by_probability_also_on_answers_that_were_made_after_a_review(
    rita: User, raj: User, alice: User, model: ModelVersion, next_model: ModelVersion, predicts: Any
) -> None:
    likely = answered(alice, model, probability=0.99, seed=1)
    say(rita, likely, ONE)
    say(raj, likely, finding="no_fracture")
    old = answered(alice, model, seed=2)
    say(rita, old, ONE)
    new = predict_again(alice, old)
    run_next_prediction()
    new.refresh_from_db()
    say(raj, new, OTHER)

    assert [prediction for prediction, _ in worklist(rita)] == [str(likely.id), str(new.id)]
    assert not Prediction.objects.worklist().filter(review_order=None).exists()


def test_an_older_prediction_that_is_retried_later_leaves_the_newest_on_the_worklist(
    rita: User, alice: User, model: ModelVersion, next_model: ModelVersion, predicts: Any
) -> None:
    old = answered(alice, model)
    Prediction.objects.filter(id=old.id).update(state="failed", review_rank=None)
    new = predict_again(alice, old)
    run_next_prediction()

    retry_prediction(prediction=old)
    run_next_prediction()

    assert set(old.radiograph.predictions.values_list("state", flat=True)) == {"succeeded"}
    assert worklist(rita) == [(str(new.id), "doubtful")]


REVIEWERS_AT_ONCE = """
import json, threading
from django.db import connections
from classifier.radiographs.models import Prediction
from classifier.registry.models import ModelVersion
from classifier.reviews.services import record_review
from tests.retraining import answered, person
alice, rita, raj = person("alice"), person("rita", "Reviewers"), person("raj", "Reviewers")
live = ModelVersion.objects.live()
for seed in range(10):
    prediction_id = answered(alice, live, seed=seed).id
    start = threading.Barrier(2)
    def review(reviewer, finding):
        prediction = Prediction.objects.select_related("radiograph", "model_version").get(id=prediction_id)
        start.wait()
        record_review(reviewer=reviewer, prediction=prediction, finding=finding)
        connections.close_all()
    threads = [
        threading.Thread(target=review, args=arguments)
        for arguments in ((rita, "fracture"), (raj, "no_fracture"))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
print(json.dumps([prediction.get_review_rank_display() for prediction in Prediction.objects.all()]))
"""


@pytest.mark.slow
@pytest.mark.postgres
def test_two_reviewers_at_the_same_moment_disagree(tmp_path: Path) -> None:
    with postgres_server() as postgres:
        portal = Portal(tmp_path / "var", {"DATABASE_URL": postgres.url})
        portal.manage("prepare")
        said = portal.manage("shell", "--no-imports", "-c", REVIEWERS_AT_ONCE).splitlines()[-1]
    assert json.loads(said) == ["reviewers disagree"] * 10
