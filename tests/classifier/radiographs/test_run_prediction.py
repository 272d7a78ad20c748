"""A worker's job, with the shipped model: answered once, whatever happens meanwhile."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest
from django.conf import settings as django_settings
from django.core.files.storage import FileSystemStorage
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone

from classifier.core.models import User
from classifier.radiographs.jobs import predictor, run_next_prediction
from classifier.radiographs.models import Prediction, Radiograph
from classifier.radiographs.services import delete_radiographs, receive_radiograph
from classifier.radiographs.tasks import predict_next
from classifier.registry.models import ModelVersion
from portal.operations.tasks import sweep
from tests.conftest import xray

State = Prediction.State


@pytest.fixture
def queued(alice: User, live_model: ModelVersion) -> Prediction:
    return Prediction.objects.get(radiograph=receive_radiograph(owner=alice, upload=xray()))


def expire_lease() -> None:
    Prediction.objects.update(lease_until=timezone.now() - timedelta(seconds=1))


class MeanwhileStorage(FileSystemStorage):
    """Lets something happen while a worker reads the image: once, at the first time."""

    then: ClassVar[list[Callable[[], None]]] = []

    def _open(self, name: str, mode: str = "rb") -> Any:
        if self.then:
            self.then.pop()()
        return super()._open(name, mode)


@pytest.fixture
def meanwhile(settings: Any, files: Path) -> list[Callable[[], None]]:
    backend = {"BACKEND": f"{__name__}.MeanwhileStorage", "OPTIONS": {"location": files}}
    settings.STORAGES = {**settings.STORAGES, "default": backend}
    MeanwhileStorage.then.clear()
    return MeanwhileStorage.then


def test_a_queued_prediction_is_answered(queued: Prediction) -> None:
    run_next_prediction()
    queued.refresh_from_db()
    assert (queued.state, queued.error, queued.attempts, queued.lease_until) == (State.SUCCEEDED, "", 1, None)
    assert queued.started_at is not None
    assert queued.finished_at is not None
    assert queued.created_at <= queued.started_at <= queued.finished_at
    assert (queued.finding, queued.fracture_probability) == (Prediction.Finding.NOT_RECOGNIZED, None)
    assert (queued.marks, queued.class_name, queued.probabilities) == ([], "", [])
    assert (queued.review_rank, queued.review_order) == (Prediction.ReviewRank.UNREVIEWED, 1)


def test_an_x_ray_of_whole_bones_gets_no_kind_of_fracture(
    alice: User, live_model: ModelVersion, shared: Path
) -> None:
    content = (shared / "data/unfractured/IMG0000181.jpg").read_bytes()
    receive_radiograph(owner=alice, upload=SimpleUploadedFile("whole.jpg", content, "image/jpeg"))
    run_next_prediction()
    answered = Prediction.objects.get()
    assert (answered.finding, answered.kinds) == (Prediction.Finding.NO_FRACTURE_SEEN, [])
    assert (answered.class_name, answered.confidence, answered.probabilities) == ("", None, [])
    assert answered.fracture_probability is not None
    assert answered.review_order == pytest.approx(1 - answered.fracture_probability)


def test_a_message_delivered_twice_changes_nothing(queued: Prediction) -> None:
    predict_next()
    answered = Prediction.objects.values().get()
    predict_next()
    assert Prediction.objects.values().get() == answered


def test_what_another_worker_holds_is_left_alone(queued: Prediction) -> None:
    Prediction.objects.claim(queued.id, lease_until=timezone.now() + timedelta(seconds=60))
    held = Prediction.objects.values().get()
    run_next_prediction()
    assert Prediction.objects.values().get() == held


def test_what_a_silent_worker_left_is_answered_by_the_next(queued: Prediction) -> None:
    Prediction.objects.claim(queued.id, lease_until=timezone.now() - timedelta(seconds=1))
    run_next_prediction()
    queued.refresh_from_db()
    assert (queued.state, queued.attempts) == (State.SUCCEEDED, 2)


def test_a_worker_that_wakes_up_late_does_not_touch_the_answer_of_its_successor(
    queued: Prediction, meanwhile: list[Callable[[], None]]
) -> None:
    rows: list[Any] = []

    def successor() -> None:
        expire_lease()
        run_next_prediction()
        rows.append(Prediction.objects.values().get())

    meanwhile.append(successor)
    run_next_prediction()
    assert rows[0]["state"] == State.SUCCEEDED
    assert rows[0]["attempts"] == 2
    assert Prediction.objects.values().get() == rows[0]


def test_a_radiograph_deleted_while_it_is_worked_on_stays_deleted(
    queued: Prediction, meanwhile: list[Callable[[], None]]
) -> None:
    def delete() -> None:
        delete_radiographs([Radiograph.objects.get()])

    meanwhile.append(delete)
    run_next_prediction()
    assert not Prediction.objects.exists()


def test_a_message_for_a_deleted_radiograph_does_nothing(queued: Prediction) -> None:
    delete_radiographs([queued.radiograph])
    predict_next()
    assert not Prediction.objects.exists()


@pytest.mark.parametrize("damage", ["gone", "cut off"])
def test_an_image_that_cannot_be_read_any_more_fails_with_a_reason(
    queued: Prediction, files: Path, damage: str
) -> None:
    image = next((files / "radiographs").rglob("*.png"))
    if damage == "gone":
        image.unlink()
    else:
        image.write_bytes(image.read_bytes()[:1000])
    run_next_prediction()
    queued.refresh_from_db()
    assert (queued.state, queued.error) == (
        State.FAILED,
        "The stored image can no longer be read. Upload the X-ray again.",
    )
    assert queued.finished_at is not None


def test_a_damaged_model_fails_with_a_reason_and_is_never_used(
    queued: Prediction, live_model: ModelVersion, settings: Any, tmp_path: Path
) -> None:
    settings.DATA_DIR = tmp_path / "another host"
    predictor.cache_clear()
    unpacked = settings.DATA_DIR / "models" / live_model.checksum
    unpacked.mkdir(parents=True)
    (unpacked / "card.json").write_text("{}")
    run_next_prediction()
    queued.refresh_from_db()
    assert queued.state == State.FAILED
    assert queued.error.startswith("The model for this answer cannot be loaded.")


def test_an_error_that_may_pass_is_tried_again_later_and_the_attempt_counts(
    queued: Prediction, meanwhile: list[Callable[[], None]]
) -> None:
    def storage_away() -> None:
        raise ConnectionError("the storage does not answer")

    meanwhile.append(storage_away)
    run_next_prediction()
    queued.refresh_from_db()
    assert (queued.attempts, queued.error, queued.is_finished) == (1, "", False)
    assert queued.send_at > timezone.now() + timedelta(seconds=5)

    expire_lease()
    run_next_prediction()
    queued.refresh_from_db()
    assert (queued.state, queued.attempts) == (State.SUCCEEDED, 2)


def test_an_image_that_kills_its_worker_is_given_up_after_three_attempts_with_a_reason(
    queued: Prediction,
) -> None:
    for attempt in (1, 2, 3):
        claimed = Prediction.objects.claim(queued.id, lease_until=timezone.now())  # and the worker dies
        assert claimed is not None
        assert claimed.attempts == attempt
    run_next_prediction()
    sweep()
    queued.refresh_from_db()
    assert (queued.state, queued.attempts) == (State.FAILED, 3)
    assert queued.error == "Callus could not finish this image in three attempts. You can try again."


def test_the_unpacked_model_is_shared_by_the_workers_of_a_host(
    queued: Prediction, live_model: ModelVersion
) -> None:
    predictor.cache_clear()
    run_next_prediction()
    unpacked = django_settings.DATA_DIR / "models"
    assert [path.name for path in unpacked.iterdir()] == [live_model.checksum]
