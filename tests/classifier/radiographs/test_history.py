import re
from datetime import timedelta
from urllib.parse import quote

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from rest_framework.test import APIClient

from classifier.core.models import User
from classifier.radiographs.models import Prediction, Radiograph
from classifier.registry.models import ModelVersion
from tests.conftest import xray
from tests.uploads import fail, finish, receive


def add_rows(owner: User, model: ModelVersion, number: int) -> None:
    """Rows alone, without files: the page asks for none of them."""
    now = timezone.now()
    radiographs = Radiograph.objects.bulk_create(
        Radiograph(owner=owner, _file_name=f"x-ray-{i:03}.png", sha256="0" * 64, width=9, height=9)
        for i in range(number)
    )
    for i, radiograph in enumerate(radiographs):
        Radiograph.objects.filter(id=radiograph.id).update(created_at=now - timedelta(minutes=i))
    Prediction.objects.bulk_create(
        Prediction(radiograph=radiograph, owner=radiograph.owner, model_version=model, state="queued")
        for radiograph in radiographs
    )


def names_on(client: Client, query: str = "") -> list[str]:
    page = client.get(f"/radiographs/{query}").text
    return re.findall(r'<p class="row-name"><a [^>]*>([^<]*)</a>', page)


def test_an_empty_history_says_how_to_begin(as_alice: Client, model: ModelVersion) -> None:
    page = as_alice.get("/radiographs/").text
    assert "No X-rays yet" in page
    assert "No results" not in page


def test_it_is_newest_first_and_of_24_a_page(as_alice: Client, alice: User, model: ModelVersion) -> None:
    add_rows(alice, model, 50)
    expected = [f"x-ray-{i:03}.png" for i in range(50)]
    assert names_on(as_alice) == expected[:24]
    assert names_on(as_alice, "?page=2") == expected[24:48]
    assert names_on(as_alice, "?page=3") == expected[48:]


@pytest.mark.parametrize(("page", "first"), [("0", 48), ("99", 48), ("-1", 48), ("x", 0)])
def test_a_page_that_does_not_exist_shows_one_that_does(
    as_alice: Client, alice: User, model: ModelVersion, page: str, first: int
) -> None:
    add_rows(alice, model, 50)
    assert names_on(as_alice, f"?page={page}")[0] == f"x-ray-{first:03}.png"


def test_turning_the_page_keeps_the_search(as_alice: Client, alice: User, model: ModelVersion) -> None:
    add_rows(alice, model, 30)
    page = as_alice.get("/radiographs/?name=x-ray").text
    assert 'href="?name=x-ray&amp;page=2"' in page
    assert len(names_on(as_alice, "?name=x-ray&page=2")) == 6


def test_it_is_searched_by_name_class_and_state(as_alice: Client, alice: User, model: ModelVersion) -> None:
    wrist, ankle, elbow = (receive(alice, xray(f"{name}.png")) for name in ("Wrist", "ankle", "elbow"))
    finish(wrist, class_name="Spiral Fracture")
    fail(ankle)
    assert names_on(as_alice, "?name=wri") == ["Wrist.png"]
    assert names_on(as_alice, "?class_name=Spiral+Fracture") == ["Wrist.png"]
    assert names_on(as_alice, "?state=failed") == ["ankle.png"]
    assert names_on(as_alice, "?state=queued") == [elbow._file_name]
    assert names_on(as_alice, "?state=failed&name=wri") == []


def test_it_is_searched_by_the_answer_that_it_shows(
    as_alice: Client, alice_api: APIClient, radiograph: Radiograph, model: ModelVersion
) -> None:
    old = finish(radiograph, class_name="Spiral Fracture")
    newer = ModelVersion.objects.create(number=2, checksum="2" * 64, card=model.card)
    new = Prediction.objects.create(radiograph=radiograph, owner=radiograph.owner, model_version=newer)

    def found(query: str) -> int:
        in_api = alice_api.get(f"/api/v1/radiographs/{query.replace('class_name', 'class')}").json()["count"]
        assert in_api == len(names_on(as_alice, query))
        return int(in_api)

    assert (found("?state=queued"), found("?state=succeeded")) == (1, 0)
    Prediction.objects.filter(id=new.id).update(
        state="succeeded",
        finding="no_fracture_seen",
        fracture_probability=0.01,
        created_at=old.created_at + timedelta(seconds=1),
    )
    assert (found("?finding=no_fracture_seen"), found("?finding=fracture_seen")) == (1, 0)
    assert (found("?state=succeeded"), found("?class_name=Spiral+Fracture")) == (1, 0)
    # Of two at the same moment, the one with the higher id is shown.
    Prediction.objects.filter(id=new.id).update(created_at=old.created_at)
    shown = Radiograph.objects.with_predictions().get().prediction
    assert found(f"?finding={shown.finding}") == 1
    assert found("?finding=fracture_seen") + found("?finding=no_fracture_seen") == 1


def test_a_search_without_a_match_is_not_an_empty_history(as_alice: Client, radiograph: Radiograph) -> None:
    page = as_alice.get("/radiographs/?name=nothing-like-it").text
    assert "No results" in page
    assert "No X-rays yet" not in page


@pytest.mark.parametrize("query", ["?state=wrong", "?class_name=wrong", "?name=%00", f"?name={'x' * 300}"])
def test_a_search_that_makes_no_sense_is_named_and_shows_nothing(
    as_alice: Client, radiograph: Radiograph, query: str
) -> None:
    page = as_alice.get(f"/radiographs/{query}")
    assert page.status_code == 400
    assert "errorlist" in page.text
    assert radiograph._file_name not in page.text


def test_classes_to_search_for_are_those_of_the_models(as_alice: Client, model: ModelVersion) -> None:
    ModelVersion.objects.create(number=2, checksum="2" * 64, card={"classes": ["Not fractured"]})
    page = as_alice.get("/radiographs/").text
    assert '<option value="Not fractured">Not fractured</option>' in page
    assert '<option value="Fracture Dislocation">Fracture dislocation</option>' in page


def test_the_number_of_queries_does_not_grow_with_the_rows(
    as_alice: Client, alice: User, model: ModelVersion
) -> None:
    def count_queries() -> int:
        with CaptureQueriesContext(
            connection,
        ) as queries:
            as_alice.get("/radiographs/")
        return len(queries)

    add_rows(alice, model, 1)
    with_one = count_queries()
    add_rows(alice, model, 40)
    assert count_queries() == with_one
    # Two of them ask what the person may do, for the navigation.
    assert with_one <= 8


def test_answers_of_a_model_with_other_classes_stay_readable(
    as_alice: Client, alice_api: APIClient, alice: User, model: ModelVersion
) -> None:
    """The model that is live now shares none of its classes."""
    prediction = finish(receive(alice))
    other = ModelVersion.objects.create(
        number=2, checksum="2" * 64, card={"classes": ["Stress fracture", "Torus fracture"]}, source="trained"
    )
    other.promotions.create()
    again = receive(alice, xray("again.png"))
    assert again.predictions.get().model_version == other
    names = ["Torus fracture", "Stress fracture"]
    probabilities = [{"class": name, "probability": p} for name, p in zip(names, (0.7, 0.3), strict=True)]
    finish(again, class_name=names[0], probabilities=probabilities, prediction_set=names)

    history = as_alice.get("/radiographs/").text
    assert "Avulsion fracture" in history
    assert "Torus fracture" in history
    old, new = (as_alice.get(f"/radiographs/{each.id}/").text for each in (prediction.radiograph, again))
    assert "Avulsion fracture" in old
    assert "Torus fracture" not in old
    assert "Torus fracture" in new
    for name, number in ((prediction.class_name, 1), (names[0], 2)):
        assert len(names_on(as_alice, f"?class_name={quote(name)}")) == 1
        (found,) = alice_api.get("/api/v1/radiographs/", {"class": name}).json()["results"]
        answer = alice_api.get(f"/api/v1/predictions/{found['prediction']['id']}/").json()
        assert (answer["class"], answer["model_version"]) == (name, number)
