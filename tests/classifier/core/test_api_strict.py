"""The API accepts only the types that its schema states."""

import json
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from rest_framework.test import APIClient

from classifier.core.models import User
from classifier.radiographs.models import Radiograph
from classifier.registry.models import ModelVersion
from classifier.reviews.models import Review
from tests.people import api_client
from tests.retraining import ready_dataset
from tests.uploads import finish

API = "/api/v1"
RUN = {"recipe": "tiny", "start": "scratch"}


@pytest.fixture
def as_tess(db: None) -> APIClient:
    tess = User.objects.create_user("tess")
    tess.user_permissions.set(
        Permission.objects.filter(content_type__app_label__in=("registry", "radiographs"))
    )
    return api_client(tess)


def fields(answer: Any) -> dict[str, list[str]]:
    assert answer.status_code == 400, answer.content
    return dict(answer.json()["fields"])


@pytest.mark.parametrize("page", ["", "last"])
def test_a_page_that_is_not_a_number_is_404(alice_api: APIClient, page: str) -> None:
    assert alice_api.get(f"{API}/radiographs/", {"page": page}).status_code == 404


def test_an_empty_id_is_refused(as_tess: APIClient) -> None:
    assert list(fields(as_tess.get(f"{API}/reviews/", {"radiograph": ""}))) == ["radiograph"]


@pytest.mark.parametrize("reason", [0, True, 1.5, [], {}])
def test_a_string_field_refuses_other_types(as_tess: APIClient, reason: object) -> None:
    answer = as_tess.post(f"{API}/promotions/roll-back/", {"reason": reason})
    assert fields(answer) == {"reason": ["Not a valid string."]}


@pytest.mark.parametrize("seed", ["0", True, 0.0, 1e300])
def test_an_integer_field_refuses_other_types(as_tess: APIClient, model: ModelVersion, seed: object) -> None:
    wanted = {"dataset_version": ready_dataset().pk, **RUN, "seed": seed}
    assert fields(as_tess.post(f"{API}/training-runs/", wanted)) == {"seed": ["A valid integer is required."]}


@pytest.mark.parametrize("number", [10**30, -(10**30), 2**63])
def test_an_id_beyond_the_range_of_the_database_is_404(
    as_tess: APIClient, model: ModelVersion, number: int
) -> None:
    wanted = {"dataset_version": number, **RUN}
    assert as_tess.post(f"{API}/training-runs/", wanted).status_code == 404
    assert as_tess.get(f"{API}/training-runs/{abs(number)}/").status_code == 404


def test_the_list_entry_at_fault_is_named(alice_api: APIClient) -> None:
    good = "0f1c2a52-63a3-4d0e-9c4e-0f6ab2f2a7f5"
    answer = alice_api.post(f"{API}/prediction-batches/", {"radiographs": [good, "x"]})
    assert fields(answer) == {"radiographs": ["[1]: Must be a valid UUID."]}
    assert answer.json()["detail"] == "radiographs[1]: Must be a valid UUID."


def test_a_form_is_refused_where_the_schema_has_json_only(as_tess: APIClient) -> None:
    sent = {"data": "reason=because", "content_type": "application/x-www-form-urlencoded"}
    assert as_tess.post(f"{API}/promotions/roll-back/", **sent).status_code == 415


@pytest.mark.parametrize("accept", ["text/html", "image/png", "application/xml;q=0.1", "nonsense"])
def test_no_accept_header_is_refused(alice_api: APIClient, accept: str) -> None:
    answer = alice_api.get(f"{API}/radiographs/", headers={"Accept": accept})
    assert (answer.status_code, answer["Content-Type"]) == (200, "application/json")


@pytest.mark.parametrize("name", ["kind", "\ud800", "n" * 5000], ids=["misspelled", "surrogate", "long"])
def test_a_field_that_is_not_known_is_refused(as_tess: APIClient, radiograph: Radiograph, name: str) -> None:
    prediction = finish(radiograph)
    said: dict[str, object] = {"prediction": str(prediction.id), "finding": "fracture"}
    # Encoded here, as the test client cannot send a lone surrogate.
    body = json.dumps({**said, name: "Spiral Fracture"})
    answer = as_tess.post(f"{API}/reviews/", body, content_type="application/json")
    assert list(fields(answer).values()) == [["This field is not known."]]
    box = {"x": 1, "y": 1, "width": 9, "height": 9, "label": "fracture"}
    answer = as_tess.post(f"{API}/reviews/", {**said, "boxes": [box]})
    assert "label: This field is not known." in answer.json()["detail"]
    assert not Review.objects.exists()
