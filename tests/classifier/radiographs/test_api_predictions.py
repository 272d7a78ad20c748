from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone
from rest_framework.test import APIClient

from classifier.radiographs.jobs import run_next_prediction
from classifier.radiographs.models import Prediction
from classifier.registry.models import ModelVersion
from ml.classes import FRACTURE_CLASSES
from tests.uploads import send

FIELDS = [
    *("id", "radiograph", "state", "finding", "fracture_probability", "calibrated", "marks"),
    *("body_part", "class"),
    *("confidence", "probabilities", "kinds", "kind_uncertain", "abstained", "in_distribution"),
    *("model_version", "created_at", "finished_at", "error"),
]


@pytest.fixture
def sent(alice_api: APIClient, model: ModelVersion) -> dict[str, Any]:
    return dict(send(alice_api).json())


def prediction(client: APIClient, sent: dict[str, Any]) -> dict[str, Any]:
    answer = client.get(f"/api/v1/predictions/{sent['prediction']['id']}/")
    assert answer.status_code == 200
    assert "no-store" in answer["Cache-Control"]
    return dict(answer.json())


def test_a_queued_prediction_has_no_answer(alice_api: APIClient, sent: dict[str, Any]) -> None:
    body = prediction(alice_api, sent)
    assert list(body) == FIELDS
    assert body["created_at"]
    assert body == {
        "id": sent["prediction"]["id"],
        "radiograph": sent["id"],
        "state": "queued",
        "finding": None,
        "fracture_probability": None,
        "calibrated": None,
        "marks": [],
        "body_part": None,
        "class": None,
        "confidence": None,
        "probabilities": [],
        "kinds": [],
        "kind_uncertain": None,
        "abstained": None,
        "in_distribution": None,
        "model_version": 1,
        "created_at": body["created_at"],
        "finished_at": None,
        "error": None,
    }


def test_a_failed_prediction_says_why_and_nothing_else(alice_api: APIClient, sent: dict[str, Any]) -> None:
    Prediction.objects.update(
        state=Prediction.State.FAILED, finished_at=timezone.now(), error="The stored image cannot be read."
    )
    body = prediction(alice_api, sent)
    assert (body["state"], body["error"]) == ("failed", "The stored image cannot be read.")
    assert (body["class"], body["confidence"], body["probabilities"]) == (None, None, [])
    assert body["finished_at"] is not None


def test_an_image_that_is_not_a_bone_x_ray_gets_no_kind(alice_api: APIClient, sent: dict[str, Any]) -> None:
    Prediction.objects.update(
        state=Prediction.State.SUCCEEDED,
        finished_at=timezone.now(),
        class_name="",
        confidence=0.4,
        probabilities=[{"class": name, "probability": 0.1} for name in FRACTURE_CLASSES],
        abstained=True,
        in_distribution=False,
    )
    body = prediction(alice_api, sent)
    assert (body["class"], body["in_distribution"], body["error"]) == (None, False, None)
    assert len(body["probabilities"]) == 10
    assert (body["kinds"], body["kind_uncertain"]) == ([], True)


def test_the_shipped_model_gives_no_finding_for_a_drawing(
    alice_api: APIClient, live_model: ModelVersion
) -> None:
    sent = send(alice_api).json()
    run_next_prediction()
    body = prediction(alice_api, sent)
    assert (body["state"], body["finding"], body["fracture_probability"]) == (
        "succeeded",
        "not_recognized",
        None,
    )
    assert (body["marks"], body["class"], body["confidence"], body["kinds"]) == ([], None, None, [])


def test_the_shipped_model_sees_a_fracture_marks_it_and_lists_likely_kinds(
    alice_api: APIClient, live_model: ModelVersion, shared: Path
) -> None:
    content = (shared / "data/fracatlas/images/IMG0000155.jpg").read_bytes()
    sent = send(alice_api, SimpleUploadedFile("hand.jpg", content, "image/jpeg")).json()
    run_next_prediction()
    body = prediction(alice_api, sent)
    assert list(body) == FIELDS
    assert (body["state"], body["error"], body["model_version"]) == ("succeeded", None, live_model.number)
    assert body["finished_at"] >= body["created_at"]
    assert (body["finding"], body["body_part"]) == ("fracture_seen", "hand")
    assert body["fracture_probability"] > 0.5
    assert body["calibrated"] is True
    assert 1 <= len(body["marks"]) <= 3
    mark = body["marks"][0]
    assert 0 <= mark["x"] < mark["x"] + mark["width"] <= sent["width"]
    assert 0 <= mark["y"] < mark["y"] + mark["height"] <= sent["height"]
    assert body["kinds"] == body["probabilities"][:3]
    values = [row["probability"] for row in body["probabilities"]]
    assert values == sorted(values, reverse=True)
    assert sum(values) == pytest.approx(1, abs=1e-5)
    assert {row["class"] for row in body["probabilities"]} == set(FRACTURE_CLASSES)
    assert body["confidence"] == pytest.approx(values[0])
    assert isinstance(body["abstained"], bool)
    if body["in_distribution"]:
        assert body["class"] == body["probabilities"][0]["class"]
    else:
        assert body["class"] is None
