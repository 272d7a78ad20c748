"""What Prometheus reads says what the database holds."""

import re
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from classifier.core.models import User
from classifier.radiographs.models import Prediction, Radiograph
from classifier.registry.models import ModelVersion, Promotion
from portal.operations.models import Canary

pytestmark = pytest.mark.django_db


def metrics(client: Client) -> dict[str, float]:
    text = client.get("/metrics").content.decode()
    assert all(re.fullmatch(r'# (HELP|TYPE) .+|\w+(\{\w+=".*"\})? \S+', line) for line in text.splitlines())
    lines = [line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in lines}


@pytest.fixture
def live() -> ModelVersion:
    version = ModelVersion.objects.create(number=7, checksum="7" * 64, card={"classes": []}, source="shipped")
    Promotion.objects.create(model_version=version)
    return version


def add(live: ModelVersion, *, age: timedelta = timedelta(), **facts: object) -> None:
    owner, _ = User.objects.get_or_create(username="alice")
    radiograph = Radiograph.objects.create(
        owner=owner, _file_name="wrist.png", sha256="0" * 64, width=1, height=1
    )
    prediction = Prediction.objects.create(radiograph=radiograph, owner=owner, model_version=live)
    Prediction.objects.filter(id=prediction.id).update(created_at=timezone.now() - age, **facts)


def test_an_empty_portal_has_metrics(client: Client) -> None:
    assert metrics(client)['callus_predictions_unfinished{state="queued"}'] == 0


def test_they_tell_depth_and_age_of_the_queue(client: Client, live: ModelVersion) -> None:
    add(live, age=timedelta(minutes=3))
    add(live)
    found = metrics(client)
    assert found['callus_predictions_unfinished{state="queued"}'] == 2
    assert 180 <= found['callus_predictions_oldest_seconds{state="queued"}'] < 240
    assert found['callus_predictions_unfinished{state="running"}'] == 0
    assert found["callus_live_model_version"] == 7


def test_they_tell_times_attempts_and_failures_by_reason(client: Client, live: ModelVersion) -> None:
    now = timezone.now()

    def lasting(seconds: float) -> dict[str, object]:
        return {"started_at": now - timedelta(seconds=seconds), "finished_at": now}

    add(live, state="succeeded", attempts=1, **lasting(0.2))
    add(live, state="succeeded", attempts=3, **lasting(2.0))
    add(live, state="failed", attempts=3, error='The "image" is gone.', **lasting(4.0))
    long_ago = now - timedelta(hours=1)
    add(live, state="succeeded", attempts=1, started_at=long_ago, finished_at=long_ago)
    found = metrics(client)
    assert found['callus_predictions_finished_5m{state="succeeded"}'] == 2
    assert found['callus_predictions_finished_5m{state="failed"}'] == 1
    assert found["callus_predictions_retried_5m"] == 2
    assert found["callus_prediction_attempts_5m"] == 7
    assert found['callus_predictions_failed_24h{reason="The \\"image\\" is gone."}'] == 1
    buckets = [
        found[f'callus_prediction_seconds_5m_bucket{{le="{le}"}}'] for le in ("0.1", "0.3", "3.0", "+Inf")
    ]
    assert buckets == [0, 1, 2, 3]
    assert found["callus_prediction_seconds_5m_sum"] == pytest.approx(6.2, abs=0.01)
    assert found["callus_prediction_seconds_5m_count"] == 3


def test_they_tell_how_long_a_queue_has_been_silent(client: Client) -> None:
    Canary.objects.create(queue="train", done_at=timezone.now() - timedelta(seconds=100))
    assert 100 <= metrics(client)['callus_queue_silent_seconds{queue="train"}'] < 130
