"""Recalibration of the finding: what is counted, who may ask for it, its pages and API, and the gate."""

import re
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from classifier.core.models import AuditEntry, Notification, User
from classifier.core.permissions import VIEW
from classifier.radiographs.models import Radiograph
from classifier.registry.models import ModelVersion
from classifier.reviews.models import Review
from classifier.training import gate
from classifier.training.models import Comparison, Recalibration
from classifier.training.reviewed_findings import count_reviewed_findings, reviewed_findings
from classifier.training.services import request_comparison, request_recalibration
from portal.operations.sweep import sweep
from tests.people import api_client, signed_in
from tests.retraining import (
    CLASSES,
    compared,
    confirm_as_second_person,
    person,
    ready_dataset,
    say,
    trained_version,
)
from tests.retraining_rows import recalibrate, user_who_may
from tests.reviewed_xrays import enough, owner, reviewed

pytestmark = pytest.mark.django_db
START = "/models/recalibrate/"


@pytest.fixture
def tara(db: None) -> User:
    return person("tara", "Trainers")


@pytest.fixture
def as_tara(tara: User) -> Client:
    return signed_in(tara)


@pytest.fixture
def model(model: ModelVersion) -> ModelVersion:
    """A live model that answers the finding."""
    model.card = {"classes": CLASSES, "finding": {"figures": {}}}
    model.save()
    return model


def words(content: bytes) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", content.decode())).strip()


def test_radiographs_count_on_whose_finding_the_reviewers_agree(model: ModelVersion) -> None:
    of = owner()
    fractured = reviewed(of, model, "fracture", "fracture", seed=1)
    # Other kinds of fracture are a fracture all the same.
    for review, kind in zip(fractured.reviews.order_by("id"), CLASSES, strict=False):
        Review.objects.filter(id=review.pk).update(
            class_name=kind, boxes=[{"x": 5, "y": 6, "width": 7.5, "height": 8}]
        )
    whole = reviewed(of, model, "no_fracture", seed=2)
    reviewed(of, model, "fracture", "no_fracture", seed=3)
    reviewed(of, model, "not_assessable", seed=4)
    reviewed(of, model, "fracture", seed=5, deleted_at=timezone.now())
    reviewed(owner("nora", allows_training=False), model, "fracture", seed=6)
    reviewed(person("no-site"), model, "fracture", seed=7)
    changed = reviewed(of, model, "no_fracture", seed=8)
    first = changed.reviews.get()
    say(first.reviewer, first.prediction, "")

    numbers = count_reviewed_findings()
    found = {each.radiograph.id: each for each in reviewed_findings()}

    assert (numbers.num_fractured, numbers.num_unfractured, numbers.num_groups) == (2, 1, 3)
    assert {key: each.is_fractured for key, each in found.items()} == {
        fractured.id: True,
        whole.id: False,
        changed.id: True,
    }
    assert found[fractured.id].boxes == [(5, 6, 7.5, 8)] * 2
    assert len({each.group for each in found.values()}) == 3
    Radiograph.objects.filter(id__in=[fractured.id, whole.id]).update(patient_hash="one")
    found = {each.radiograph.id: each for each in reviewed_findings()}
    assert count_reviewed_findings().num_groups == 2
    assert found[fractured.id].group == found[whole.id].group != found[changed.id].group


def test_the_page_says_what_is_missing(as_tara: Client, model: ModelVersion) -> None:
    of = owner()
    for number in range(3):
        reviewed(of, model, "fracture" if number else "no_fracture", seed=number)

    page = as_tara.get(START)
    text = words(page.content)

    assert "X-rays with a fracture 2 30 28" in text
    assert "X-rays without a fracture 1 30 29" in text
    assert "Groups 3 10 7" in text
    assert "6% of the X-rays with a fracture" in text
    assert "which is 67% now" in text
    assert b"disabled" in page.content
    refused = as_tara.post(START)
    assert refused.status_code == 409
    assert "Missing: 28 X-rays with a fracture, 29 X-rays without a fracture, 7 groups." in words(
        refused.content
    )
    assert not Recalibration.objects.exists()


def test_a_recalibration_is_queued_once(as_tara: Client, tara: User, model: ModelVersion) -> None:
    enough(owner(), model)

    answer = as_tara.post(START)

    recalibration = Recalibration.objects.get()
    assert answer.url == f"/recalibrations/{recalibration.pk}/"
    assert (recalibration.start_version, recalibration.created_by) == (model, tara)
    entry = AuditEntry.objects.about(recalibration).get()
    assert (entry.action, entry.detail["fractured"]) == ("recalibration requested", 30)
    assert as_tara.post(START).url == answer.url
    assert "Waiting for the training worker" in words(as_tara.get(answer.url).content)
    progress = f"{answer.url}progress/"
    assert as_tara.get(progress, {"seen": "queued--0"}).status_code == 204
    Recalibration.objects.update(state="running", phase="predict", step=3, steps=60)
    shown = as_tara.get(progress, {"seen": "queued--0"}).content
    assert b'max="60" value="3"' in shown
    assert b"Predict" in shown


@pytest.mark.parametrize("what", ["a_model_of_kinds", "nothing"])
def test_only_a_live_model_that_answers_the_finding_is_recalibrated(
    as_tara: Client, tara: User, model: ModelVersion, what: str
) -> None:
    enough(owner(), model, each=1)
    if what == "nothing":
        model.promotions.all().delete()
    else:
        ModelVersion.objects.update(card={"classes": CLASSES})

    assert "can be recalibrated" in words(as_tara.get(START).content)
    answer = api_client(tara).post("/api/v1/recalibrations/")
    assert answer.status_code in (409, 503)
    assert not Recalibration.objects.exists()


def test_who_may_only_look_sees_the_page_without_the_button(model: ModelVersion) -> None:
    as_viewer = signed_in(user_who_may("vera", VIEW))

    assert "Recalibrate Model 1" not in words(as_viewer.get(START).content)
    assert as_viewer.post(START).status_code == 404
    assert signed_in(person("rita", "Reviewers")).get(START).status_code == 404


def test_the_pages_of_the_models_lead_there(as_tara: Client, model: ModelVersion) -> None:
    for address in ("/models/", f"/models/{model.number}/"):
        assert f'href="{START}"' in as_tara.get(address).content.decode()


def test_a_recalibration_that_is_done_shows_the_figures_and_the_new_version(
    as_tara: Client, model: ModelVersion
) -> None:
    recalibration = recalibrate(model)
    address = f"/recalibrations/{recalibration.pk}/"

    page = as_tara.get(address)
    text = words(page.content)

    assert "Calibration error 0.100 (0.240 to 0.390) 0.020 (0.240 to 0.390) −0.010" in text
    assert "“No fracture seen” below 0.051 0.080" in text
    assert "40 of the 90 X-rays show a fracture; they come from 12 groups." in text
    assert "Left out: 2 that the network was trained on" in text
    assert b'href="/models/2/promote/"' in page.content
    assert as_tara.get(f"{address}progress/").headers["HX-Refresh"] == "true"
    assert f'href="{address}"' in as_tara.get(START).content.decode()
    about_new = as_tara.get("/models/2/")
    assert f'href="{address}"' in about_new.content.decode()
    assert "Compare with the live model" not in words(about_new.content)


def test_a_recalibrated_version_goes_live_without_a_comparison(as_tara: Client, model: ModelVersion) -> None:
    recalibration = recalibrate(model)
    made = recalibration.made_version
    assert made is not None

    page = words(as_tara.get("/models/2/promote/").content)
    assert "only the calibration of the finding differs" in page
    assert "Calibration error 0.100" in page
    assert "To promote it anyway" not in page
    assert gate.check(made, model) == gate.GateResult(None, "", recalibration)

    as_tara.post("/models/2/promote/", {"reason": ""})
    assert ModelVersion.objects.live() == made
    # Now the other is the candidate, and no figures say how the old calibration does.
    assert "has not been compared" in gate.check(model, made).objection


@pytest.mark.parametrize(
    ("error", "missed", "said"),
    [
        (0.11, 0.04, "Model 2 has a larger calibration error (0.110 compared with 0.100) than Model 1."),
        (0.02, 0.0504, ""),
        (0.02, 0.06, "Model 2 has more missed fractures (0.060 compared with 0.050) than Model 1."),
        (0.2, 0.2, "a larger calibration error (0.200 compared with 0.100) and more missed fractures"),
    ],
)
def test_the_gate_objects_where_the_finding_became_worse(
    as_tara: Client, model: ModelVersion, error: float, missed: float, said: str
) -> None:
    made = recalibrate(model, error, missed).made_version

    answer = as_tara.post("/models/2/promote/", {"reason": ""})

    if said:
        assert answer.status_code == 409
        assert said in words(answer.content)
        assert "On 90 reviewed X-rays" in words(answer.content)
        as_tara.post("/models/2/promote/", {"reason": "It gives too many false alarms."})
        confirm_as_second_person()
    assert ModelVersion.objects.live() == made


def test_a_version_recalibrated_from_another_than_the_live_one_needs_a_comparison(
    model: ModelVersion,
) -> None:
    made = recalibrate(model).made_version
    other = recalibrate(model).made_version
    assert made is not None
    assert "has not been compared" in gate.check(made, other).objection


def test_each_step_works_through_the_api(tara: User, model: ModelVersion) -> None:
    api = api_client(tara)
    enough(owner(), model)

    made = api.post("/api/v1/recalibrations/")

    assert made.status_code == 201
    body: dict[str, Any] = made.json()
    assert (body["state"], body["start_version"], body["model_version"]) == ("queued", 1, None)
    assert api.get(made.headers["Location"]).json() == body
    done = recalibrate(model)
    listed = api.get("/api/v1/recalibrations/").json()["results"]
    assert [each["id"] for each in listed] == [done.pk, body["id"]]
    assert (listed[0]["model_version"], listed[0]["result"]["n"]) == (2, 90)
    assert api_client(person("rita", "Reviewers")).post("/api/v1/recalibrations/").status_code == 404


def test_a_recalibration_whose_worker_died_three_times_fails_and_says_so(
    tara: User, model: ModelVersion
) -> None:
    recalibration = Recalibration.objects.create(start_version=model, created_by=tara)
    Recalibration.objects.update(state="running", attempts=3, lease_until=timezone.now())

    sweep()

    recalibration.refresh_from_db()
    assert recalibration.state == "failed"
    assert AuditEntry.objects.about(recalibration).get().action == "recalibration failed"
    notification = Notification.objects.for_user(tara).get()
    assert notification.text.startswith(f"{recalibration} failed.")
    assert notification.subject == "recalibration"
    assert f"/recalibrations/{recalibration.pk}/" in signed_in(tara).get("/notifications/").content.decode()


def test_the_result_of_an_x_ray_tells_the_figures_after(as_tara: Client, model: ModelVersion) -> None:
    made = recalibrate(model).made_version
    assert made is not None
    radiograph = reviewed(owner(), made, "no_fracture")
    radiograph.predictions.update(finding="no_fracture_seen", body_part="hand")

    page = words(as_tara.get(f"/radiographs/{radiograph.id}/").content)

    assert "Among the X-rays reviewed here, 128 of all 132 X-rays with this finding" in page
    assert "which was recalibrated on them" in page
    # Reviews do not name the body part, but the answer does.
    assert "There are no figures of this body part alone." in page
    assert "was not identified" not in page


def test_the_page_says_which_reviewed_x_rays_do_not_count_and_why(
    as_tara: Client, model: ModelVersion
) -> None:
    of = owner()
    reviewed(of, model, "fracture", seed=1)
    reviewed(of, model, "fracture", "no_fracture", seed=2)
    reviewed(of, model, "not_assessable", seed=3)
    reviewed(of, model, "not_assessable", "not_assessable", seed=4)
    reviewed(of, model, "fracture", "no_fracture", seed=5, deleted_at=timezone.now())
    reviewed(owner("nora", allows_training=False), model, "fracture", seed=6)
    reviewed(person("no-site"), model, "not_assessable", seed=7)

    text = words(as_tara.get(START).content)

    assert (
        "6 reviewed X-rays are not counted: 1: in the trash 1: the owner belongs to no site "
        "1: the owner's site does not allow training 1: the reviewers disagree 2: not assessable"
    ) in text.replace("&#x27;", "'")
    assert len(list(reviewed_findings())) == count_reviewed_findings().num_fractured == 1


@pytest.mark.parametrize(
    ("card", "said"),
    [
        ({}, "Model 2 does not say whether a bone is broken, as Model 1 does."),
        ({"finding": {"calibration": {"seen_from": 0.2}}}, "no recalibration leads from one to the other"),
        ({"finding": {"figures": {}}}, ""),
    ],
)
def test_the_gate_objects_where_the_finding_is_lost_or_replaced(
    as_tara: Client, model: ModelVersion, card: dict[str, Any], said: str
) -> None:
    """Although the kind of fracture was compared."""
    candidate = trained_version(ready_dataset())
    candidate.card = {"classes": CLASSES, "architecture": "tiny_cnn", **card}
    candidate.save()
    compared(candidate, model)

    page = words(as_tara.get("/models/2/promote/").content)

    changed = "the finding and the kind of fracture" if said else "the kind of fracture"
    assert f"Compared with Model 1, it changes {changed} ." in page
    assert said in page
    assert as_tara.post("/models/2/promote/", {"reason": ""}).status_code == (409 if said else 302)
    if said:
        as_tara.post("/models/2/promote/", {"reason": "We want that for a study."})
        confirm_as_second_person()
    assert ModelVersion.objects.live() == candidate


@pytest.mark.parametrize("missed", [0.04, 0.06])
def test_a_trained_version_with_a_recalibrated_finding_is_measured_by_the_recalibration(
    model: ModelVersion, missed: float
) -> None:
    """It has the finding of a version that was recalibrated from the live one, and another kind."""
    made = recalibrate(model, missed=missed).made_version
    assert made is not None
    candidate = trained_version(ready_dataset(), report={})
    candidate.card = {**candidate.card, "finding": made.card["finding"]}
    candidate.save()
    compared(candidate, model)

    objection = gate.check(candidate, model).objection

    assert gate.parts_changed(candidate, model) == "the finding and the kind of fracture"
    assert gate.parts_changed(made, model) == "the finding"
    assert ("Model 3 has more missed fractures (0.060 compared with 0.050)" in objection) == (missed > 0.05)
    assert bool(objection) == (missed > 0.05)


@pytest.mark.parametrize("what", ["recalibration", "comparison"])
def test_of_two_requests_at_the_same_time_one_is_queued(
    tara: User, model: ModelVersion, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second request looks for the first before that is saved."""
    enough(owner(), model)
    candidate = trained_version(ready_dataset())

    def request() -> Recalibration | Comparison:
        if what == "recalibration":
            return request_recalibration(user=tara)
        return request_comparison(user=tara, candidate=candidate)

    first = request()
    kind = type(first)
    looked: list[None] = []
    of_query_set = type(kind.objects.all())
    get_first = of_query_set.first

    def see_nothing_at_first(rows: Any) -> Any:
        looked.append(None)
        return None if len(looked) == 1 else get_first(rows)

    monkeypatch.setattr(of_query_set, "first", see_nothing_at_first)
    assert request() == first
    assert kind.objects.count() == 1
    assert len(looked) == 2
    assert AuditEntry.objects.about(first).count() == 1
