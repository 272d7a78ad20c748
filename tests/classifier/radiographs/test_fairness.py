"""One person's thousand uploads do not hold up another's one."""

from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from classifier.core.models import User
from classifier.radiographs.models import Prediction, Radiograph
from classifier.radiographs.services import predict_again, receive_radiograph, retry_prediction
from classifier.radiographs.tasks import predict_next
from classifier.registry.models import ModelVersion
from tests.conftest import xray

SOON = timedelta(minutes=1)


@pytest.fixture(autouse=True)
def _apart(files: Path) -> None:
    """Files go to a folder of this test."""


def upload(owner: User, number: int = 1) -> list[Prediction]:
    sent = [receive_radiograph(owner=owner, upload=xray()) for _ in range(number)]
    return [Prediction.objects.get(radiograph=radiograph) for radiograph in sent]


def serve(number: int = 1) -> list[str]:
    """Whose predictions the workers took, in order; each is answered at once."""
    owners = []
    for _ in range(number):
        claimed = Prediction.objects.claim_next(lease_until=timezone.now() + SOON)
        assert claimed is not None
        Prediction.objects.still_claimed(claimed).update(state="succeeded", finished_at=timezone.now())
        owners.append(claimed.radiograph.owner.username)
    return owners


def test_another_persons_upload_is_next_however_many_wait(
    alice: User, bob: User, model: ModelVersion
) -> None:
    upload(alice, 30)
    assert serve(5) == ["alice"] * 5
    upload(bob)
    assert "bob" in serve(2)


def test_those_who_wait_are_served_in_rounds(alice: User, bob: User, model: ModelVersion) -> None:
    carol = User.objects.create_user("carol")
    upload(alice, 6)
    upload(bob, 4)
    upload(carol, 2)
    assert sorted(serve(3)) == ["alice", "bob", "carol"]
    assert sorted(serve(3)) == ["alice", "bob", "carol"]
    assert sorted(serve(2)) == sorted(serve(2)) == ["alice", "bob"]
    assert serve(2) == ["alice"] * 2
    assert Prediction.objects.claim_next(lease_until=timezone.now() + SOON) is None


def test_who_used_it_much_before_is_not_behind_now(alice: User, bob: User, model: ModelVersion) -> None:
    upload(alice, 20)
    serve(20)
    upload(bob, 3)
    upload(alice)
    assert "alice" in serve(2)


def test_ones_own_are_answered_in_the_order_they_were_sent(alice: User, model: ModelVersion) -> None:
    sent = [prediction.id for prediction in upload(alice, 5)]
    taken = [Prediction.objects.claim_next(lease_until=timezone.now() + SOON) for _ in sent]
    assert [prediction.id for prediction in taken if prediction] == sent


def test_what_a_dead_worker_left_comes_first_and_what_is_held_is_not_taken(
    alice: User, bob: User, model: ModelVersion
) -> None:
    upload(alice, 2)
    dead = Prediction.objects.claim_next(lease_until=timezone.now() - SOON)
    assert dead is not None
    upload(bob)
    again = Prediction.objects.claim_next(lease_until=timezone.now() + SOON)
    assert again is not None
    assert (again.id, again.attempts) == (dead.id, 2)
    assert sorted(serve(2)) == ["alice", "bob"]
    assert Prediction.objects.claim_next(lease_until=timezone.now() + SOON) is None


def test_asking_again_for_many_holds_up_no_upload(alice: User, bob: User, model: ModelVersion) -> None:
    upload(alice, 10)
    serve(10)
    newer = ModelVersion.objects.create(number=2, checksum="2" * 64, card=model.card, source="shipped")
    newer.promotions.create()
    predict_again(user=bob, radiographs=Radiograph.objects.all())
    assert serve(1) == ["alice"], "with nothing else to do, they are worked on"
    upload(bob)
    upload(alice)
    assert sorted(serve(2)) == ["alice", "bob"]
    assert Prediction.objects.filter(batch=None, state="queued").count() == 0


def test_who_asks_for_a_failed_one_again_stands_behind_their_own(
    alice: User, bob: User, model: ModelVersion
) -> None:
    failed = upload(alice)[0]
    Prediction.objects.update(state="failed")
    upload(alice, 3)
    upload(bob)
    retry_prediction(prediction=failed)
    assert serve(5)[-1] == "alice"
    assert Prediction.objects.get(id=failed.id).state == "succeeded"


def test_as_many_wake_up_calls_as_uploads_answer_all_of_them(
    alice: User, bob: User, live_model: ModelVersion
) -> None:
    sent = upload(alice, 3) + upload(bob, 2)
    for _ in sent:
        predict_next()
    assert set(Prediction.objects.values_list("state", "attempts")) == {("succeeded", 1)}
