"""Boxes of a review that cannot be kept are refused with a sentence, on the page and in the API, and quickly."""

import json
from typing import Any

import pytest
from rest_framework.test import APIClient

from classifier.core.models import User
from classifier.radiographs.models import Prediction
from classifier.registry.models import ModelVersion
from classifier.reviews.models import Review
from tests.people import api_client, signed_in
from tests.retraining import answered, person

ODD = {
    "too deep": "[" * 100_000,
    "deep and closed": "[" * 100_000 + "]" * 100_000,
    "400 digits": f'[{{"x": 1{"0" * 400}, "y": 0, "width": 1, "height": 1}}]',
    "5,000 digits": f'[{{"x": {"1" * 5000}, "y": 0, "width": 1, "height": 1}}]',
    "lone surrogate": '"\\ud800"',
    "lone surrogate as a key": '[{"\\ud800": 1}]',
    "not a number": '[{"x": NaN, "y": 0, "width": 1, "height": 1}]',
    "infinite": '[{"x": 1e400, "y": 0, "width": 1, "height": 1}]',
    "strings": '[{"x": "0", "y": 0, "width": 1, "height": 1}]',
    "booleans": '[{"x": true, "y": 0, "width": 1, "height": 1}]',
    "null": "[null]",
    "lists": '[{"x": [1], "y": 0, "width": 1, "height": 1}]',
    "less than a pixel": '[{"x": 0, "y": 0, "width": 0.5, "height": 1}]',
    "too many": json.dumps([{"x": 0, "y": 0, "width": 1, "height": 1}] * 21),
    "far too many": json.dumps([{}] * 300_000),
}


@pytest.fixture
def rita(db: None) -> User:
    return person("rita", "Reviewers")


@pytest.fixture
def prediction(alice: User, model: ModelVersion) -> Prediction:
    return answered(alice, model)


def send(client: APIClient, prediction: Prediction, boxes: str, finding: str = '"fracture"') -> Any:
    body = f'{{"prediction": "{prediction.id}", "finding": {finding}, "boxes": {boxes}}}'
    return client.generic("POST", "/api/v1/reviews/", body, content_type="application/json")


@pytest.mark.parametrize("boxes", ODD.values(), ids=list(ODD))
def test_a_page_refuses_odd_boxes(rita: User, prediction: Prediction, boxes: str) -> None:
    address = f"/radiographs/{prediction.radiograph_id}/review/{prediction.id}/"
    page = signed_in(rita).post(address, {"finding": "fracture", "boxes": boxes, "comment": "Keep me"})
    assert page.status_code == 400
    assert "errorlist" in page.text
    assert "Keep me" in page.text
    assert not Review.objects.exists()


@pytest.mark.parametrize("boxes", ODD.values(), ids=list(ODD))
def test_the_api_refuses_odd_boxes_in_a_short_sentence(
    rita: User, prediction: Prediction, boxes: str
) -> None:
    answer = send(api_client(rita), prediction, boxes)
    assert answer.status_code == 400
    assert 0 < len(answer.json()["detail"]) < 1000
    assert not Review.objects.exists()


def test_a_lone_surrogate_that_an_error_quotes_is_refused(rita: User, prediction: Prediction) -> None:
    answer = send(api_client(rita), prediction, "[]", finding='"\\ud800"')
    assert answer.status_code == 400
    assert "not a valid choice" in answer.json()["detail"]


def test_of_many_errors_the_first_ten_are_named(rita: User, prediction: Prediction) -> None:
    answer = send(api_client(rita), prediction, json.dumps([{}] * 20)).json()
    assert answer["detail"].endswith("There are more errors.")
    assert len(answer["fields"]["boxes"]) == 11


def test_a_selection_that_is_too_long_is_refused_before_its_entries_are_checked(
    rita: User, model: ModelVersion
) -> None:
    body = {"radiographs": ["not an id"] * 10_001}
    answer = api_client(rita).post("/api/v1/prediction-batches/", body, format="json")
    assert answer.status_code == 400
    assert answer.json()["detail"] == "radiographs: Ensure this field has no more than 10000 elements."


def test_a_box_of_one_pixel_is_kept(rita: User, prediction: Prediction) -> None:
    box = {"x": 111, "y": 0.5, "width": 1, "height": 1}
    assert send(api_client(rita), prediction, json.dumps([box])).status_code == 201
    assert Review.objects.get().boxes == [box]
