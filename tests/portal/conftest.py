from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone

from classifier.models import ModelVersion, Prediction, Radiograph, User
from classifier.services.receive_radiograph import receive_radiograph
from ml.classes import FRACTURE_CLASSES
from ml.images import encode_png
from tests.conftest import xray

NOBODYS_ID = "0f1c2a52-63a3-4d0e-9c4e-0f6ab2f2a7f5"
PROBABILITIES = [0.62, 0.14, 0.13, 0.05, 0.03, 0.02, 0.004, 0.003, 0.002, 0.001]


@pytest.fixture(autouse=True)
def _apart(files: Path, no_failed_attempts: None) -> None:
    """Each test has its own storage, and pays for no failed sign-in of another."""


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def as_alice(alice: User) -> Client:
    return signed_in(alice)


@pytest.fixture
def as_bob(bob: User) -> Client:
    return signed_in(bob)


@pytest.fixture
def radiograph(alice: User, model: ModelVersion) -> Radiograph:
    """An X-ray of Alice's that waits for its answer."""
    return receive(alice)


def receive(owner: User, file: SimpleUploadedFile | None = None) -> Radiograph:
    return receive_radiograph(owner=owner, upload=file or xray())


def finish(radiograph: Radiograph, **fields: Any) -> Prediction:
    """Write an answer as a worker would: 'Avulsion fracture' with 62 %, unless `fields` say otherwise."""
    names = list(FRACTURE_CLASSES)
    now = timezone.now()
    answer: dict[str, Any] = {
        "state": "succeeded",
        "attempts": 1,
        "started_at": now,
        "finished_at": now,
        "class_name": names[0],
        "confidence": PROBABILITIES[0],
        "probabilities": [
            {"class": name, "probability": p} for name, p in zip(names, PROBABILITIES, strict=True)
        ],
        "prediction_set": names[:3],
        "abstained": False,
        "in_distribution": True,
        "saliency": encode_png(np.full((10, 7), 255, np.uint8)),
        **fields,
    }
    radiograph.predictions.update(**answer)
    return radiograph.predictions.get()


def fail(radiograph: Radiograph) -> Prediction:
    return finish(
        radiograph, state="failed", error="The stored image cannot be read any more.", probabilities=[]
    )
