"""Example responses in the OpenAPI schema."""

from typing import Any

from drf_spectacular.utils import OpenApiExample

PREDICTION_ID = "5b0a6f7e-4e57-4c8e-8a53-0a4ff1b0a1de"

RADIOGRAPH: dict[str, Any] = {
    "id": "0f1c2a52-63a3-4d0e-9c4e-0f6ab2f2a7f5",
    "name": "wrist.jpg",
    "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "width": 640,
    "height": 640,
    "shows_text": False,
    "created_at": "2026-11-23T14:48:01.123456Z",
    "prediction": {"id": PREDICTION_ID, "state": "queued"},
}

PROBABILITIES = {
    "Spiral Fracture": 0.61, "Oblique fracture": 0.17, "Comminuted fracture": 0.06,
    "Longitudinal fracture": 0.05, "Hairline Fracture": 0.03, "Greenstick fracture": 0.02,
    "Fracture Dislocation": 0.02, "Avulsion fracture": 0.02, "Pathological fracture": 0.01,
    "Impacted fracture": 0.01,
}  # fmt: skip

QUEUED: dict[str, Any] = {
    "id": PREDICTION_ID,
    "radiograph": RADIOGRAPH["id"],
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
    "created_at": "2026-11-23T14:48:01.125000Z",
    "finished_at": None,
    "error": None,
}

SUCCEEDED = {
    **QUEUED,
    "state": "succeeded",
    "finding": "fracture_seen",
    "fracture_probability": 0.93,
    "calibrated": True,
    "marks": [{"x": 212.4, "y": 301.8, "width": 64.1, "height": 88.6, "score": 0.81}],
    "body_part": "leg",
    "class": "Spiral Fracture",
    "confidence": 0.61,
    "probabilities": [{"class": name, "probability": value} for name, value in PROBABILITIES.items()],
    "kinds": [{"class": name, "probability": value} for name, value in list(PROBABILITIES.items())[:3]],
    "kind_uncertain": False,
    "abstained": False,
    "in_distribution": True,
    "finished_at": "2026-11-23T14:48:01.310000Z",
}

FAILED = {
    **QUEUED,
    "state": "failed",
    "finished_at": "2026-11-23T14:51:20.000000Z",
    "error": "Callus could not finish this image in three attempts. You can try again.",
}

RADIOGRAPH_EXAMPLE = OpenApiExample("A radiograph", RADIOGRAPH, response_only=True)

PREDICTION_EXAMPLES = [
    OpenApiExample("Waiting", QUEUED, response_only=True),
    OpenApiExample("Answered", SUCCEEDED, response_only=True),
    OpenApiExample("Failed", FAILED, response_only=True),
]
