"""Whether the page and the API say that a review confirms or corrects the answer, or neither."""

from typing import Any

import pytest

from classifier.core.models import User
from classifier.radiographs.models import Radiograph
from ml.classes import FRACTURE_CLASSES
from tests.people import api_client, signed_in
from tests.retraining import person
from tests.uploads import finish

KINDS = list(FRACTURE_CLASSES)
FIRST, THIRD, FOURTH = KINDS[0], KINDS[2], KINDS[3]
SEEN: dict[str, Any] = {}
UNCERTAIN = {"prediction_set": KINDS[:5]}
NOT_NAMED = {"class_name": "", "probabilities": [], "in_distribution": False}
UNFRACTURED = {"finding": "no_fracture_seen", "class_name": "", "probabilities": [], "prediction_set": []}
KINDS_ONLY: dict[str, Any] = {"finding": "", "fracture_probability": None, "marks": []}


@pytest.fixture
def rita(db: None) -> User:
    return person("rita", "Reviewers")


@pytest.mark.parametrize(
    ("answer", "finding", "kind", "said"),
    [
        (SEEN, "fracture", "", "confirms"),
        (SEEN, "fracture", FIRST, "confirms"),
        (SEEN, "fracture", THIRD, "confirms"),
        (SEEN, "fracture", FOURTH, "corrects"),
        (SEEN, "no_fracture", "", "corrects"),
        (SEEN, "not_assessable", "", "neither"),
        (SEEN | UNCERTAIN, "fracture", FOURTH, "confirms"),
        (SEEN | UNCERTAIN, "no_fracture", "", "corrects"),
        (SEEN | NOT_NAMED, "fracture", FIRST, "confirms"),
        (UNFRACTURED, "no_fracture", "", "confirms"),
        (UNFRACTURED, "fracture", FIRST, "corrects"),
        (UNFRACTURED, "not_assessable", "", "neither"),
        (SEEN | {"finding": "doubtful"}, "fracture", FIRST, "neither"),
        (UNFRACTURED | {"finding": "not_recognized"}, "fracture", "", "neither"),
        (KINDS_ONLY, "fracture", "", "neither"),
        (KINDS_ONLY, "fracture", FIRST, "confirms"),
        (KINDS_ONLY, "fracture", FOURTH, "corrects"),
        (KINDS_ONLY, "no_fracture", "", "neither"),
        (KINDS_ONLY, "not_assessable", "", "neither"),
        (KINDS_ONLY | UNCERTAIN, "fracture", FOURTH, "neither"),
    ],
)
def test_only_what_both_say_is_compared(
    rita: User, radiograph: Radiograph, answer: dict[str, Any], finding: str, kind: str, said: str
) -> None:
    prediction = finish(radiograph, **answer)
    sent = {"prediction": str(prediction.id), "finding": finding, "class": kind}

    review = api_client(rita).post("/api/v1/reviews/", sent, format="json").json()
    page = signed_in(rita).get(f"/radiographs/{radiograph.id}/").text

    assert review["confirms"] == ("confirms the answer" in page) == (said == "confirms")
    assert ("corrects the answer" in page) == (said == "corrects")
