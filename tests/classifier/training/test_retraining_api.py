"""Each step of the retraining loop through the REST API, and the permission that it requires."""

from pathlib import Path
from typing import Any

import pytest
from rest_framework.test import APIClient

from classifier.core.models import AuditEntry, Site, User
from classifier.datasets.models import DatasetVersion
from classifier.registry.models import ModelVersion
from classifier.training.models import RetrainingSchedule, TrainingRun
from tests.data_sets import zip_of
from tests.people import api_client
from tests.retraining import (
    CLASSES,
    ONE,
    OTHER,
    answered,
    compared,
    person,
    promoted,
    ready_dataset,
    say,
    trained_version,
    zip_file,
)

pytestmark = pytest.mark.django_db
API = "/api/v1"


@pytest.fixture(autouse=True)
def _own_data_folder(settings: Any, tmp_path: Path) -> None:
    settings.DATA_DIR = tmp_path / "var"
    settings.DATA_DIR.mkdir()


@pytest.fixture
def tara(db: None) -> User:
    return person("tara", "Trainers")


@pytest.fixture
def as_tara(tara: User) -> APIClient:
    return api_client(tara)


@pytest.fixture
def as_rita(db: None) -> APIClient:
    return api_client(person("rita", "Reviewers"))


@pytest.fixture
def things(model: ModelVersion, alice: User) -> dict[str, Any]:
    """One row of each model, for addresses with an id."""
    dataset = ready_dataset()
    version = trained_version(dataset)
    return {
        "dataset": dataset.pk,
        "run": version.training_run.pk,
        "number": version.number,
        "comparison": compared(version, model).pk,
        "prediction": answered(alice, model).id,
    }


REVIEWERS = [
    ("get", "/reviews/"),
    ("post", "/reviews/"),
    ("get", "/reviews/worklist/"),
]
TRAINERS = [
    ("get", "/dataset-versions/"),
    ("post", "/dataset-versions/"),
    ("get", "/dataset-versions/{dataset}/"),
    ("get", "/training-runs/"),
    ("post", "/training-runs/"),
    ("get", "/training-runs/{run}/"),
    ("post", "/training-runs/{run}/cancel/"),
    ("get", "/model-versions/"),
    ("get", "/model-versions/{number}/"),
    ("post", "/model-versions/{number}/promote/"),
    ("post", "/model-versions/{number}/compare/"),
    ("get", "/comparisons/{comparison}/"),
    ("get", "/promotions/"),
    ("post", "/promotions/roll-back/"),
    ("get", "/retraining-schedule/"),
    ("put", "/retraining-schedule/"),
    ("get", "/audit-entries/"),
]


def ask(client: APIClient, method: str, path: str, things: dict[str, Any]) -> Any:
    return getattr(client, method)(
        API + path.format(**things), {}, format="json" if method != "get" else None
    )


@pytest.mark.parametrize(("method", "path"), REVIEWERS + TRAINERS)
def test_a_user_without_the_permission_gets_404(
    alice_api: APIClient, as_rita: APIClient, things: dict[str, Any], method: str, path: str
) -> None:
    assert ask(alice_api, method, path, things).status_code == 404
    assert ask(APIClient(), method, path, things).status_code == 401
    found = ask(as_rita, method, path, things)
    if (method, path) in TRAINERS:
        assert found.status_code == 404
        assert found.json()["detail"] == "There is nothing at this address that you may see."
    else:
        assert found.status_code in (200, 400)


def test_a_review_is_recorded_and_listed(
    as_rita: APIClient, alice_api: APIClient, alice: User, model: ModelVersion
) -> None:
    prediction = answered(alice, model, class_name=ONE)

    made = as_rita.post(
        f"{API}/reviews/",
        {
            "prediction": str(prediction.id),
            "finding": "fracture",
            "class": OTHER,
            "boxes": [{"x": 3, "y": 4, "width": 50, "height": 60}],
            "comment": "Look at the rim.",
        },
        format="json",
    )

    assert made.status_code == 201
    shown = ("reviewer", "finding", "boxes", "class", "confirms", "model_version")
    assert {name: made.json()[name] for name in shown} == {
        "reviewer": "rita",
        "finding": "fracture",
        "boxes": [{"x": 3.0, "y": 4.0, "width": 50.0, "height": 60.0}],
        "class": OTHER,
        "confirms": False,
        "model_version": 1,
    }
    listed = as_rita.get(f"{API}/reviews/", {"radiograph": prediction.radiograph_id}).json()
    assert [row["comment"] for row in listed["results"]] == ["Look at the rim."]
    refused = as_rita.post(
        f"{API}/reviews/", {"prediction": prediction.id, "finding": "fracture", "class": "?"}
    )
    assert (refused.status_code, refused.json()["detail"]) == (400, "Choose one of the kinds of fracture.")


def test_the_worklist_gives_the_reason_of_each_row(
    as_rita: APIClient, alice: User, model: ModelVersion
) -> None:
    seen, doubtful = answered(alice, model, seed=1), answered(alice, model, finding="doubtful", seed=2)

    rows = as_rita.get(f"{API}/reviews/worklist/").json()["results"]

    assert [(row["prediction"], row["why"]) for row in rows] == [
        (str(doubtful.id), "doubtful"),
        (str(seen.id), "not reviewed yet"),
    ]


def test_an_uploaded_zip_is_queued_for_its_audit(as_tara: APIClient, model: ModelVersion) -> None:
    content = zip_of({f"{name}/Train/1.png": b"x" for name in CLASSES})

    made = as_tara.post(f"{API}/dataset-versions/", {"file": zip_file(content)}, format="multipart")

    assert made.status_code == 201, made.json()
    assert (made.json()["state"], made.json()["source"]) == ("queued", "zip")
    assert as_tara.get(made.headers["Location"]).json()["report"] == {}
    refused = as_tara.post(f"{API}/dataset-versions/", {"file": zip_file(b"no zip")}, format="multipart")
    assert (refused.status_code, refused.json()["detail"]) == (
        400,
        "This file is not a zip, or it is damaged.",
    )
    neither = as_tara.post(f"{API}/dataset-versions/", {}, format="json")
    assert (neither.status_code, neither.json()["detail"]) == (
        400,
        "parent: This field is required.",
    )


def test_a_version_from_reviews_has_its_parent(
    as_tara: APIClient, tara: User, alice: User, model: ModelVersion
) -> None:
    parent = ready_dataset()
    asked = {"parent": parent.pk, "note": "Spring"}
    assert as_tara.post(f"{API}/dataset-versions/", asked).status_code == 409

    User.objects.filter(id=alice.id).update(site=Site.objects.create(name="Ward 3", allows_training=True))
    say(tara, answered(alice, model))
    made = as_tara.post(f"{API}/dataset-versions/", asked).json()
    assert (made["parent"], made["note"], made["source"]) == (parent.pk, "Spring", "reviews")


def test_a_run_is_started_shown_and_canceled(as_tara: APIClient, model: ModelVersion) -> None:
    wanted = {"dataset_version": ready_dataset().pk, "recipe": "tiny", "start": "scratch", "epochs": 3}

    made = as_tara.post(f"{API}/training-runs/", wanted)

    assert made.status_code == 201, made.json()
    shown = as_tara.get(made.headers["Location"]).json()
    assert (shown["state"], shown["epochs_asked"], shown["history"], shown["waits_for"]) == (
        "queued",
        3,
        [],
        [],
    )
    canceled = as_tara.post(f"{made.headers['Location']}cancel/")
    assert (canceled.status_code, canceled.json()["state"]) == (200, "canceled")
    assert as_tara.post(f"{made.headers['Location']}cancel/").status_code == 409
    unknown = as_tara.post(f"{API}/training-runs/", {**wanted, "dataset_version": 99})
    assert unknown.status_code == 404
    assert TrainingRun.objects.count() == 1


@pytest.mark.parametrize(
    ("field", "value", "limits"),
    [
        ("epochs", 501, "epochs must be between 1 and 500"),
        ("batch_size", 0, "batch size must be between 1 and 512"),
        ("seed", 2**31, "seed must be between 0 and 2,147,483,647"),
        ("seed", 10**400, "seed must be between 0 and 2,147,483,647"),
    ],
    ids=["epochs", "batch_size", "seed", "huge seed"],
)
def test_a_parameter_outside_of_its_limits_is_refused_with_the_limits(
    as_tara: APIClient, model: ModelVersion, field: str, value: int, limits: str
) -> None:
    wanted = {"dataset_version": ready_dataset().pk, "recipe": "tiny", "start": "scratch", field: value}
    answer = as_tara.post(f"{API}/training-runs/", wanted)
    assert answer.status_code == 400
    sentence = f"The value for {limits}."
    assert answer.json() == {"detail": sentence, "fields": {field: [sentence]}}
    assert not TrainingRun.objects.exists()


def test_a_version_is_promoted_against_an_objection_with_a_reason_and_rolled_back(
    as_tara: APIClient, model: ModelVersion
) -> None:
    version = trained_version(ready_dataset())
    compared(version, model, "worse")
    address = f"{API}/model-versions/{version.number}/promote/"

    refused = as_tara.post(address, {})
    assert refused.status_code == 409
    assert "significantly worse than Model 1" in refused.json()["detail"]
    short = as_tara.post(address, {"reason": "For a study."})
    rule = "Write a reason of at least 20 characters in at least 4 words."
    assert (short.status_code, short.json()) == (400, {"detail": rule, "fields": {"reason": [rule]}})
    asked = as_tara.post(address, {"reason": "It is for a study."})
    assert asked.status_code == 400
    asked = as_tara.post(address, {"reason": "It is for a study of ours."})
    assert (asked.status_code, asked.json()["state"]) == (202, "waiting")
    assert ModelVersion.objects.live() == model
    request = asked.headers["Location"]
    own = as_tara.post(f"{request}confirm/")
    assert own.status_code == 409
    assert "Another person with the permission" in own.json()["detail"]
    confirmed = api_client(person("thea", "Trainers")).post(f"{request}confirm/")
    made = confirmed.json()
    assert confirmed.status_code == 201
    assert (made["model_version"], made["kind"], made["reason"]) == (
        version.number,
        "promote",
        "It is for a study of ours.",
    )
    assert (made["promoted_by"], made["confirmed_by"]) == ("tara", "thea")
    assert as_tara.get(request).json()["promotion"] == made["id"]
    assert made["comparison"] == as_tara.get(f"{API}/promotions/").json()["results"][0]["comparison"]
    assert made["comparison"] == version.comparisons.get().pk
    assert [row["state"] for row in as_tara.get(f"{API}/promotion-requests/").json()["results"]] == [
        "confirmed"
    ]
    assert [row["is_live"] for row in as_tara.get(f"{API}/model-versions/").json()["results"]] == [
        True,
        False,
    ]

    back = as_tara.post(f"{API}/promotions/roll-back/", {"reason": "The study is over."}).json()
    assert (back["model_version"], back["kind"]) == (model.number, "roll_back")
    kinds = [row["kind"] for row in as_tara.get(f"{API}/promotions/").json()["results"]]
    assert kinds == ["roll_back", "promote", "promote"]
    actions = [row["action"] for row in as_tara.get(f"{API}/audit-entries/").json()["results"]]
    assert actions == ["rolled back", "promoted", "promotion requested"]


def test_a_request_that_is_repeated_changes_the_live_model_once(
    as_tara: APIClient, model: ModelVersion
) -> None:
    dataset = ready_dataset()
    second, third = trained_version(dataset), trained_version(dataset)
    for version in (second, third):
        promoted(User.objects.get(username="tara"), version)
    decision = {"reason": "The study is over.", "live": third.number}
    address = f"{API}/promotions/roll-back/"

    assert as_tara.post(address, decision).status_code == 201
    again = as_tara.post(address, decision)
    late = as_tara.post(f"{API}/model-versions/{model.number}/promote/", decision)

    for answer in (again, late):
        assert answer.status_code == 409
        assert f"{second} has become live in the meantime" in answer.json()["detail"]
    assert ModelVersion.objects.live() == second
    for live in (0, "3", True):
        assert as_tara.post(address, {"live": live}).status_code == 400


def test_a_comparison_is_queued(as_tara: APIClient, model: ModelVersion) -> None:
    version = trained_version(ready_dataset())

    made = as_tara.post(f"{API}/model-versions/{version.number}/compare/")

    assert made.status_code == 201
    shown = as_tara.get(f"{API}/comparisons/{made.json()['id']}/").json()
    assert (shown["candidate"], shown["live"], shown["state"]) == (version.number, model.number, "queued")
    assert as_tara.get(f"{API}/model-versions/{version.number}/").json()["comparison"] == shown["id"]


def test_a_user_can_predict_again_only_their_own_x_rays(
    alice_api: APIClient, bob_api: APIClient, alice: User, model: ModelVersion
) -> None:
    radiograph = answered(alice, trained_version(ready_dataset())).radiograph
    asked = {"radiographs": [str(radiograph.id)]}

    assert bob_api.post(f"{API}/prediction-batches/", asked).status_code == 404
    made = alice_api.post(f"{API}/prediction-batches/", asked)
    assert made.status_code == 201
    assert made.json()["progress"] == {"total": 1, "done": 0, "failed": 0, "waiting": 1}
    assert alice_api.get(f"{API}/prediction-batches/{made.json()['id']}/").status_code == 200
    assert bob_api.get(f"{API}/prediction-batches/{made.json()['id']}/").status_code == 404
    assert alice_api.post(f"{API}/prediction-batches/", asked).status_code == 409


def test_the_schedule_is_read_and_set(as_tara: APIClient, model: ModelVersion) -> None:
    assert as_tara.get(f"{API}/retraining-schedule/").json()["mode"] == "off"
    wanted = {"mode": "after_reviews", "num_reviews": 50, "recipe": "tiny"}
    assert as_tara.put(f"{API}/retraining-schedule/", wanted).status_code == 200
    assert RetrainingSchedule.get().num_reviews == 50


@pytest.mark.parametrize("path", ["dataset-versions", "training-runs", "model-versions", "comparisons"])
def test_a_number_beyond_the_range_of_the_database_is_404(
    as_tara: APIClient, model: ModelVersion, path: str
) -> None:
    assert as_tara.get(f"{API}/{path}/{10**30}/").status_code == 404


def test_all_pages_of_the_audit_log_can_be_read_while_it_grows(
    as_tara: APIClient, tara: User, model: ModelVersion
) -> None:
    for number in range(120):
        AuditEntry.objects.record(actor=tara, action=f"looked {number}", about=model)
    seen, page = [], f"{API}/audit-entries/"
    while page:
        answer = as_tara.get(page).json()
        seen += [row["action"] for row in answer["results"]]
        page = answer["next"]
        AuditEntry.objects.record(actor=tara, action="looked meanwhile", about=model)
    assert seen == [f"looked {number}" for number in range(119, -1, -1)]


@pytest.mark.parametrize(
    "path",
    [
        *("reviews", "reviews/worklist", "dataset-versions", "training-runs", "model-versions", "promotions"),
        "promotion-requests",
    ],
)
def test_a_longer_list_takes_no_more_queries(
    as_tara: APIClient,
    tara: User,
    alice: User,
    model: ModelVersion,
    path: str,
    django_assert_max_num_queries: Any,
) -> None:
    dataset = ready_dataset()
    for seed in range(6):
        prediction = answered(alice, model, seed=seed)
        if seed % 2:
            say(tara, prediction)
        trained_version(dataset, created_by=tara)
    DatasetVersion.objects.update(created_by=tara)

    with django_assert_max_num_queries(8):
        assert as_tara.get(f"{API}/{path}/").status_code == 200
