"""A request for each address that is complete and valid, so that it succeeds for whoever may send it."""

import json
from typing import Any

from django.core.files.uploadedfile import SimpleUploadedFile
from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart

from ml.classes import FRACTURE_CLASSES
from tests.conftest import PASSWORD, xray
from tests.data_sets import draw_zip
from tests.ml.drawings import BREAKS
from tests.retraining_rows import PATH

Ids = dict[str, Any]
CLASSES = list(FRACTURE_CLASSES)
DATASET = draw_zip(1, [BREAKS[number % len(BREAKS)] for number in range(len(CLASSES))], CLASSES)
NEW_PASSWORD = "another-horse-battery"
TRAINING = {"recipe": "tiny", "start": "scratch", "seed": 0}

# Of what the id is, where the address does not say it.
KINDS = {
    "/radiographs/<radiograph_id>/restore/": "trashed_id",
    "/radiographs/<radiograph_id>/remove/": "trashed_id",
    "/radiographs/<radiograph_id>/retry/": "failed_id",
    "/radiographs/<id>/": "radiograph_id",
    "/predictions/<id>/": "prediction_id",
    "/prediction-batches/<id>/": "batch_id",
    "/dataset-versions/<id>/": "dataset_id",
    "/training-runs/<id>/": "run_id",
    "/comparisons/<id>/": "comparison_id",
    "/recalibrations/<id>/": "recalibration_id",
    "/promotion-requests/<id>/": "request_id",
}


def fill(address: str, ids: Ids) -> str:
    """The address of the things with these ids."""
    for part, name in KINDS.items():
        if part in address:
            address = address.replace("<radiograph_id>", "<id>").replace("<id>", str(ids[name]))
    for name, value in ids.items():
        address = address.replace(f"<{name}>", str(value))
    return address if address != "/api/" else "/api/v1/nothing-here/"


def arguments(method: str, address: str, ids: Ids) -> dict[str, Any]:
    """What goes with it, as arguments of the test client."""
    if method in ("GET", "HEAD"):
        return {"query_params": query(address, ids)}
    sent = body(method, address, ids)
    if address.startswith("/api/") and not any(hasattr(value, "read") for value in sent.values()):
        return {"data": json.dumps(sent), "content_type": "application/json"}
    return {"data": encode_multipart(BOUNDARY, sent), "content_type": MULTIPART_CONTENT}


def query(address: str, ids: Ids) -> dict[str, Any]:
    match address:
        case "/radiographs/delete/" | "/predictions/again/":
            return {"id": ids["radiograph_id"]}
        case "/radiographs/answers/":
            return {"waiting": f"{ids['radiograph_id']}:queued"}
        case "/datasets/<dataset_id>/image/":
            return {"path": PATH}
        case "/admin/autocomplete/":
            return {"app_label": "radiographs", "model_name": "radiograph", "field_name": "owner"}
    return {}


def body(method: str, address: str, ids: Ids) -> dict[str, Any]:
    match f"{method} {address}":
        case "POST /" | "POST /api/v1/radiographs/":
            return {"file": xray()}
        case "POST /radiographs/delete/" | "POST /predictions/again/":
            return {"id": ids["radiograph_id"]}
        case (
            "POST /radiographs/<radiograph_id>/review/<prediction_id>/"
            | "POST /radiographs/<radiograph_id>/adjudicate/<prediction_id>/"
        ):
            return {"finding": "no_fracture"}
        case "POST /datasets/upload/" | "POST /api/v1/dataset-versions/":
            return {"file": SimpleUploadedFile("drawn.zip", DATASET, "application/zip")}
        case "POST /datasets/from-reviews/":
            return {"parent": ids["dataset_id"]}
        case "POST /training/start/" | "POST /api/v1/training-runs/":
            return {"dataset_version": ids["dataset_id"], **TRAINING}
        case "POST /training/schedule/" | "PUT /api/v1/retraining-schedule/":
            return {"mode": "monthly", "num_reviews": 100, "recipe": "tiny"}
        case "POST /account/delete/" | "POST /accounts/reauthenticate/":
            return {"password": PASSWORD}
        case "POST /accounts/login/":
            return {"login": "other", "password": PASSWORD}
        case "POST /accounts/signup/":
            return {"username": "newcomer", "password1": NEW_PASSWORD, "password2": NEW_PASSWORD}
        case "POST /accounts/password/change/":
            return {"oldpassword": PASSWORD, "password1": NEW_PASSWORD, "password2": NEW_PASSWORD}
        case "POST /accounts/password/reset/":
            return {"email": "other@example.org"}
        case "POST /accounts/email/":
            return {"action_add": "", "email": "new@example.org"}
        case "POST /api/v1/tokens/":
            return {"username": "other", "password": PASSWORD}
        case "POST /api/v1/prediction-batches/":
            return {"radiographs": [str(ids["radiograph_id"])]}
        case "POST /api/v1/reviews/" | "POST /api/v1/reviews/adjudicate/":
            return {"prediction": str(ids["prediction_id"]), "finding": "no_fracture"}
    return {}
