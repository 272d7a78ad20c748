"""When a message goes out: on commit, again when it was lost, and never for what is held or finished."""

from collections.abc import Callable
from datetime import timedelta
from queue import Empty
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone
from rest_framework.test import APIClient

from classifier.core.errors import NotAllowedNow
from classifier.core.models import User
from classifier.radiographs.models import Prediction
from classifier.radiographs.services import receive_radiograph, retry_prediction
from classifier.registry.models import ModelVersion
from portal.celery import app
from portal.operations.tasks import sweep
from tests.conftest import xray
from tests.uploads import send

State = Prediction.State


@pytest.fixture
def messages() -> Callable[[], list[Any]]:
    """Takes what waits for a prediction worker in the embedded broker: the ids in the messages."""

    def receive_all() -> list[Any]:
        arguments = []
        with app.connection_for_read() as connection, connection.SimpleQueue("predict") as queue:
            while True:
                try:
                    message = queue.get(block=False)
                except Empty:
                    return arguments
                message.ack()
                arguments.append(message.payload[0])

    receive_all()
    return receive_all


@pytest.fixture
def queued(alice: User, model: ModelVersion) -> Prediction:
    """As the database looks when the message was lost."""
    prediction = Prediction.objects.get(radiograph=receive_radiograph(owner=alice, upload=xray()))
    Prediction.objects.update(send_at=timezone.now())
    return prediction


@pytest.mark.django_db(transaction=True)
def test_the_message_goes_out_when_the_rows_are_committed_and_carries_no_state(
    alice: User, model: ModelVersion, messages: Callable[[], list[Any]]
) -> None:
    with transaction.atomic():
        receive_radiograph(owner=alice, upload=xray())
        assert messages() == []
    assert messages() == [[]]


@pytest.mark.django_db(transaction=True)
def test_what_is_rolled_back_sends_no_message(
    alice: User, model: ModelVersion, messages: Callable[[], list[Any]]
) -> None:
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        receive_radiograph(owner=alice, upload=xray())
        raise ZeroDivisionError
    assert messages() == []
    assert not Prediction.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_an_upload_through_the_api_sends_one_message(
    alice_api: APIClient, model: ModelVersion, messages: Callable[[], list[Any]]
) -> None:
    send(alice_api)
    assert messages() == [[]]


def test_the_sweep_sends_what_was_lost_once_a_minute(
    queued: Prediction, messages: Callable[[], list[Any]]
) -> None:
    sweep()
    assert messages() == [[]]
    sweep()
    assert messages() == []


@pytest.mark.parametrize(
    ("row", "sent"),
    [
        ({"state": State.RUNNING, "attempts": 1, "lease_until": timedelta(seconds=-1)}, True),
        ({"state": State.RUNNING, "attempts": 1, "lease_until": timedelta(seconds=30)}, False),
        ({"state": State.RUNNING, "attempts": 3, "lease_until": timedelta(seconds=-1)}, False),
        ({"state": State.QUEUED, "send_at": timedelta(seconds=5)}, False),
        ({"state": State.SUCCEEDED}, False),
        ({"state": State.FAILED}, False),
    ],
)
def test_the_sweep_sends_for_what_nobody_works_on(
    queued: Prediction, messages: Callable[[], list[Any]], row: dict[str, Any], sent: bool
) -> None:
    now = timezone.now()
    Prediction.objects.update(
        **{name: now + value if isinstance(value, timedelta) else value for name, value in row.items()}
    )
    sweep()
    assert messages() == ([[]] if sent else [])


def test_a_fresh_upload_is_left_to_its_own_message(
    alice: User, model: ModelVersion, messages: Callable[[], list[Any]]
) -> None:
    receive_radiograph(owner=alice, upload=xray())
    sweep()
    assert messages() == []


def test_a_failed_prediction_can_be_asked_for_again(
    queued: Prediction,
    messages: Callable[[], list[Any]],
    django_capture_on_commit_callbacks: Any,
) -> None:
    Prediction.objects.update(state=State.FAILED, attempts=3, error="It failed.", finished_at=timezone.now())
    with django_capture_on_commit_callbacks(execute=True):
        retry_prediction(prediction=queued)
    queued.refresh_from_db()
    assert (queued.state, queued.attempts, queued.error, queued.finished_at) == (State.QUEUED, 0, "", None)
    assert messages() == [[]]


@pytest.mark.parametrize("state", [State.QUEUED, State.RUNNING, State.SUCCEEDED])
def test_what_has_not_failed_cannot_be_asked_for_again(queued: Prediction, state: str) -> None:
    Prediction.objects.update(state=state)
    row = Prediction.objects.values().get()
    with pytest.raises(NotAllowedNow):
        retry_prediction(prediction=queued)
    assert Prediction.objects.values().get() == row
