"""A training run of the finding, from reviews with boxes to the answer for an upload, with the real commands."""

import hashlib
from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.test import Client

from classifier.core.models import AuditEntry, Notification, Site, User
from classifier.datasets.models import DatasetVersion
from classifier.datasets.tasks import build_dataset
from classifier.radiographs.models import Prediction, Radiograph
from classifier.radiographs.tasks import predict_next
from classifier.registry import bundles
from classifier.registry.models import ModelVersion, Promotion
from classifier.reviews.services import record_review
from classifier.training.models import Comparison, TrainingRun
from classifier.training.tasks import compare, train
from ml.serve.bundle import Bundle, have_same_kind
from tests.client import png
from tests.conftest import xray
from tests.data_sets import draw_distinct
from tests.ml.recalibration import recognising_bundle
from tests.people import api_client, signed_in
from tests.retraining import CLASSES, ONE, answered, confirm_as_second_person, person, stored_dataset
from tests.retraining_rows import report

# A data set's upload is removed when the transaction is through.
pytestmark = pytest.mark.django_db(transaction=True)

# Seeds of drawings that the shipped finding tells apart, so that each split can be calibrated on.
WHOLE = (0, 2, 5, 6, 7, 13, 16, 17, 18, 20, 26, 28, 30, 31, 32, 34)
BROKEN = (0, 1, 3, 4, 6, 7, 8, 9, 10, 11, 12, 14, 15, 17, 18, 19)
BOX = {"x": 30, "y": 40, "width": 50, "height": 30}


@pytest.fixture(autouse=True)
def _own_data_folder(settings: Any, tmp_path: Path) -> None:
    settings.DATA_DIR = tmp_path / "var"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return recognising_bundle(tmp_path_factory.mktemp("recognising") / "bundle")


@pytest.fixture
def live(bundle: Bundle, files: Path) -> ModelVersion:
    """A live model whose finding recognises drawings."""
    version = ModelVersion.objects.create(
        number=1,
        checksum=bundle.checksum,
        archive=bundles.store(bundle),
        card=bundle.full_card,
        source=ModelVersion.Source.SHIPPED,
        report=report(),
    )
    Promotion.objects.create(model_version=version)
    return version


@pytest.fixture
def as_tara(live: ModelVersion) -> Client:
    return signed_in(person("tara", "Trainers"))


def review_drawings(live: ModelVersion) -> None:
    """Reviews of broken bones with a box and of whole ones."""
    owner = person("olga", site=Site.objects.create(name="Ward 3", allows_training=True))
    rita = person("rita", "Reviewers")
    for number, (broken, whole) in enumerate(zip(BROKEN, WHOLE, strict=True)):
        for kind, seed in (("Comminuted", broken), ("Whole", whole)):
            prediction = answered(owner, live, seed=100 * number + seed)
            radiograph = prediction.radiograph
            name, content = str(radiograph.image), png(draw_distinct(kind, seed))
            default_storage.delete(name)
            assert default_storage.save(name, ContentFile(content)) == name
            found = {"finding": "fracture", "boxes": [BOX]} if kind != "Whole" else {"finding": "no_fracture"}
            record_review(reviewer=rita, prediction=prediction, **found)
            Radiograph.objects.filter(id=radiograph.id).update(sha256=hashlib.sha256(content).hexdigest())


def started_run(as_tara: Client, dataset: DatasetVersion, **chosen: str) -> TrainingRun:
    # The form sends the starting point of the kind of fracture too.
    form = {
        "dataset_version": dataset.pk,
        "recipe": "tiny_tune",
        "start": "pretrained",
        "seed": "0",
        **chosen,
    }
    assert as_tara.post("/training/start/", form).status_code == 302
    return TrainingRun.objects.get()


def test_reviewed_findings_train_the_finding_that_answers_the_next_upload(
    as_tara: Client, live: ModelVersion, tmp_path: Path
) -> None:
    review_drawings(live)
    parent = stored_dataset(tmp_path / "images", classes=CLASSES[:2])
    made = as_tara.post("/datasets/from-reviews/", {"parent": parent.pk})
    dataset = DatasetVersion.objects.get(id=int(made.url.strip("/").rpartition("/")[2]))
    build_dataset(dataset.pk)
    dataset.refresh_from_db()
    assert (dataset.state, dataset.error, dataset.reviewed) == (
        "succeeded",
        "",
        {"used": 0, "used_for_the_finding_only": 32},
    )
    fractured = {split: numbers["fractured"] for split, numbers in dataset.findings.items()}
    # Each X-ray is a group of its own, whose side depends on its random id.
    assert sum(fractured.values()) == len(BROKEN)
    assert min(fractured.values()) >= 2
    assert fractured["train"] >= 10
    sizes = {
        split: numbers["fractured"] + numbers["unfractured"] for split, numbers in dataset.findings.items()
    }

    run = started_run(as_tara, dataset)
    assert (run.start, run.start_version, run.trains_finding) == ("live", live, True)
    train(run.pk)

    run.refresh_from_db()
    assert (run.state, run.error) == ("succeeded", "")
    version = run.trained_version
    assert version is not None
    assert (version.number, version.source, version.report) == (2, "trained", live.report)
    old, new = bundles.fetch(live), bundles.fetch(version)
    assert have_same_kind(old, new)
    assert new.finding is not None
    assert version.card["finding"]["data"]["learned_from"] == {
        "images": sizes["train"],
        "fractured": fractured["train"],
        "with_boxes": fractured["train"],
        "groups": sizes["train"],
    }
    assert version.card["finding"]["figures"]["held_out"]["all"]["n"] == sizes["test"]
    assert list(run.curves["train"]) == ["loss", "cells", "box", "picture", "map", "part"]
    assert Notification.objects.filter(text=f"{run} created Model 2.").exists()
    actions = AuditEntry.objects.about(run).order_by("id").values_list("action", flat=True)
    assert list(actions) == ["training requested", "training finished"]
    assert ModelVersion.objects.live() == live

    comparison = Comparison.objects.get()
    assert (comparison.candidate, comparison.live, comparison.verdict) == (version, live, "")
    assert comparison.finding["n"] == sizes["test"]
    assert comparison.finding["with_boxes"] == fractured["test"]
    assert comparison.finding["dataset_version"] == comparison.dataset_version_id == dataset.pk
    assert set(comparison.finding["differences"]) == {
        *("auroc", "calibration_error", "missed", "false_alarms", "first_mark_in_a_box")
    }
    for address in (f"/training/{run.pk}/", "/models/2/", f"/comparisons/{comparison.pk}/"):
        assert as_tara.get(address).status_code == 200
    asked = as_tara.get("/models/2/promote/").content.decode()
    assert "it changes <strong>the finding</strong>" in asked
    assert f"Finding, on {sizes['test']} test X-rays" in asked
    assert "There are too few test X-rays to say whether Model 2 is worse than Model 1" in asked
    as_tara.post("/models/2/promote/", {"reason": "It was trained on our X-rays."})
    assert ModelVersion.objects.live() == live
    confirm_as_second_person()
    assert ModelVersion.objects.live() == version

    alice = User.objects.create_user("alice")
    upload = api_client(alice).post("/api/v1/radiographs/", {"file": xray()}, format="multipart")
    assert upload.status_code == 201
    predict_next()
    prediction = Prediction.objects.get(owner=alice)
    assert (prediction.state, prediction.model_version) == ("succeeded", version)
    assert prediction.finding

    # Compared again, now that it is live: the old model is the candidate.
    assert as_tara.post("/models/1/compare/").status_code == 302
    again = Comparison.objects.get(candidate=live)
    compare(again.pk)
    again.refresh_from_db()
    assert (again.state, again.error) == ("succeeded", "")
    assert again.finding["before"] == comparison.finding["after"]


def test_a_run_of_the_kind_uses_the_images_with_a_kind_and_keeps_the_live_finding(
    as_tara: Client, live: ModelVersion, tmp_path: Path
) -> None:
    dataset = stored_dataset(tmp_path / "images", each=12, fractured=True)
    run = started_run(as_tara, dataset, recipe="tiny", start="scratch", epochs="1")

    train(run.pk)

    run.refresh_from_db()
    assert (run.state, run.error) == ("succeeded", "")
    version = run.trained_version
    assert version is not None
    old, new = bundles.fetch(live).finding, bundles.fetch(version).finding
    assert old is not None
    assert new is not None
    assert new.checksum == old.checksum
    comparison = Comparison.objects.get()
    assert (comparison.state, comparison.error, comparison.finding) == ("succeeded", "", {})
    assert (comparison.num_images, comparison.result["n"]) == (30, 30)
    assert (comparison.dataset_version, comparison.verdict) == (dataset, "too few")
    refused = as_tara.post("/models/2/promote/", {"reason": ""})
    assert refused.status_code == 409
    assert "missing: 70 images and 30 groups" in refused.content.decode()
    assert ModelVersion.objects.live() == live


def test_a_data_set_with_too_few_x_rays_fails_the_run_with_the_numbers(
    as_tara: Client, live: ModelVersion, tmp_path: Path
) -> None:
    dataset = stored_dataset(tmp_path / "images", classes=[ONE], fractured=True)
    run = started_run(as_tara, dataset)

    train(run.pk)

    run.refresh_from_db()
    assert run.state == "failed"
    assert "2 with and 0 without a fracture in 2 groups for training" in run.error
    assert "Each part needs at least 2 with and 2 without a fracture" in run.error
    assert not ModelVersion.objects.filter(number=2).exists()
