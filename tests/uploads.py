"""Uploads through the API and the service, and their answers as a worker would write them."""

from typing import Any

from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone
from rest_framework.test import APIClient

from classifier.core.models import User
from classifier.radiographs.models import Prediction, Radiograph
from classifier.radiographs.services import receive_radiograph
from ml.classes import FRACTURE_CLASSES
from tests.conftest import xray

NOBODYS_ID = "0f1c2a52-63a3-4d0e-9c4e-0f6ab2f2a7f5"
PROBABILITIES = [0.62, 0.14, 0.13, 0.05, 0.03, 0.02, 0.004, 0.003, 0.002, 0.001]


def send(client: APIClient, file: SimpleUploadedFile | None = None) -> Any:
    """The response to an upload."""
    return client.post("/api/v1/radiographs/", {"file": file or xray()}, format="multipart")


def body_of(response: Any) -> bytes:
    """The body. Closing a streamed one unread would close the test's own database connection."""
    return b"".join(response.streaming_content) if response.streaming else response.content


def receive(owner: User, file: SimpleUploadedFile | None = None) -> Radiograph:
    return receive_radiograph(owner=owner, upload=file or xray())


def finish(radiograph: Radiograph, **fields: Any) -> Prediction:
    """Writes an answer as a worker does: "fracture seen" (93%), "Avulsion fracture" (62%), unless `fields` differ."""
    names = list(FRACTURE_CLASSES)
    now = timezone.now()
    answer: dict[str, Any] = {
        "state": "succeeded",
        "attempts": 1,
        "started_at": now,
        "finished_at": now,
        "finding": "fracture_seen",
        "fracture_probability": 0.93,
        "calibrated": True,
        "marks": [{"x": 20.0, "y": 30.0, "width": 24.0, "height": 18.0, "score": 0.8}],
        "body_part": "hand",
        "class_name": names[0],
        "confidence": PROBABILITIES[0],
        "probabilities": [
            {"class": name, "probability": p} for name, p in zip(names, PROBABILITIES, strict=True)
        ],
        "prediction_set": names[:3],
        "abstained": False,
        "in_distribution": True,
        **fields,
    }
    radiograph.predictions.update(**answer)
    return radiograph.predictions.get()


def fail(radiograph: Radiograph) -> Prediction:
    return finish(
        radiograph,
        state="failed",
        error="The stored image can no longer be read. Upload the X-ray again.",
        probabilities=[],
    )
