"""The live model is asked again; its answer stands beside the old one."""

import pytest

from classifier.core.errors import NotAllowedNow
from classifier.core.models import User
from classifier.radiographs.models import Prediction, Radiograph
from classifier.radiographs.services import SelectionRefused, predict_again
from classifier.registry.models import ModelVersion, Promotion
from tests.retraining import answered, ready_dataset, trained_version


@pytest.fixture
def next_model(model: ModelVersion) -> ModelVersion:
    """Live since after `model` answered."""
    version = trained_version(ready_dataset())
    Promotion.objects.create(model_version=version)
    return version


def test_the_live_models_answer_stands_beside_the_old_one(
    alice: User, model: ModelVersion, next_model: ModelVersion
) -> None:
    old = answered(alice, model)

    batch = predict_again(user=alice, radiographs=[old.radiograph])

    new = batch.predictions.get()
    assert (new.model_version, new.state) == (next_model, "queued")
    assert set(old.radiograph.predictions.all()) == {old, new}
    assert old.radiograph.prediction in (old, new)
    assert batch.progress() == {"total": 1, "done": 0, "failed": 0, "waiting": 1}
    new.state = Prediction.State.SUCCEEDED
    new.save()
    assert batch.progress() == {"total": 1, "done": 1, "failed": 0, "waiting": 0}


def test_what_it_answered_before_is_not_asked_again_and_what_failed_is(
    alice: User, model: ModelVersion, next_model: ModelVersion
) -> None:
    known, failed = answered(alice, next_model), answered(alice, next_model)
    Prediction.objects.filter(id=failed.id).update(state="failed", error="It was too much.")

    batch = predict_again(user=alice, radiographs=Radiograph.objects.all())

    assert batch.num_known == 1
    assert [one.radiograph for one in batch.predictions.all()] == [failed.radiograph]
    with pytest.raises(NotAllowedNow, match="has already received all of these X-rays"):
        predict_again(user=alice, radiographs=[known.radiograph])


def test_an_empty_selection_is_refused(alice: User, model: ModelVersion) -> None:
    with pytest.raises(SelectionRefused):
        predict_again(user=alice, radiographs=[])


def test_a_thousand_are_asked_in_a_few_statements(
    alice: User, model: ModelVersion, next_model: ModelVersion, django_assert_max_num_queries: object
) -> None:
    Radiograph.objects.bulk_create(
        Radiograph(owner=alice, _file_name=f"{number}.png", sha256="0" * 64, width=1, height=1)
        for number in range(1000)
    )
    with django_assert_max_num_queries(40):  # type: ignore[operator]
        batch = predict_again(user=alice, radiographs=Radiograph.objects.all())
    assert batch.progress()["waiting"] == 1000
