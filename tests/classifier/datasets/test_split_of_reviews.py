"""Reviewed X-rays are split by patient, study and copies, and the page says where they go before they do."""

import hashlib
import re
from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage

from classifier.core.models import Site, User
from classifier.datasets import archives
from classifier.datasets.jobs.build import build_dataset
from classifier.datasets.models import DatasetVersion
from classifier.datasets.services import request_dataset_from_reviews
from classifier.radiographs.models import Prediction, Radiograph
from classifier.registry.models import ModelVersion
from ml.data.manifests import Item
from tests.people import signed_in
from tests.retraining import CLASSES, ONE, OTHER, answered, person, say, stored_dataset

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _own_data_folder(settings: Any, tmp_path: Path) -> None:
    settings.DATA_DIR = tmp_path / "var"


@pytest.fixture
def tara(db: None) -> User:
    return person("tara", "Trainers")


@pytest.fixture
def rita(db: None) -> User:
    return person("rita", "Reviewers")


@pytest.fixture
def owner(db: None) -> User:
    return person("olga", site=Site.objects.create(name="Ward 3", allows_training=True))


@pytest.fixture
def parent(tmp_path: Path) -> DatasetVersion:
    return stored_dataset(tmp_path / "images")


def build(user: User, parent: DatasetVersion) -> DatasetVersion:
    dataset = request_dataset_from_reviews(user=user, parent=parent)
    build_dataset(dataset.pk)
    dataset.refresh_from_db()
    assert (dataset.state, dataset.error) == ("succeeded", "")
    return dataset


def page(user: User, address: str) -> str:
    text = re.sub(r"<[^>]+>", " ", signed_in(user).get(address).text)
    return re.sub(r"\s+", " ", text)


def items(dataset: DatasetVersion) -> list[Item]:
    return archives.read_manifest(dataset).items


def splits_of(dataset: DatasetVersion, predictions: list[Prediction]) -> list[str]:
    sides = {item.path.rpartition("reviewed-")[2]: item.split for item in items(dataset)}
    return [sides[f"{prediction.radiograph_id}.png"] for prediction in predictions]


def copy_of_test_image(prediction: Prediction, dataset: DatasetVersion, label: str = ONE) -> None:
    """Replaces the picture with that of a frozen test image."""
    item = next(each for each in items(dataset) if (each.split, each.label) == ("test", label))
    content = archives.read_image(dataset, item.path)
    radiograph = prediction.radiograph
    default_storage.delete(str(radiograph.image))
    radiograph.image = default_storage.save(str(radiograph.image), ContentFile(content))
    radiograph.sha256 = hashlib.sha256(content).hexdigest()
    radiograph.save()


def test_most_x_rays_that_one_person_uploads_in_a_day_go_to_training(
    tara: User, rita: User, owner: User, parent: DatasetVersion, model: ModelVersion
) -> None:
    predictions = [answered(owner, model, seed=seed) for seed in range(33)]
    for number, prediction in enumerate(predictions):
        say(rita, prediction, "", "fracture" if number % 2 else "no_fracture")
    copy_of_test_image(predictions[1], parent)
    patient = [predictions[number].radiograph_id for number in (1, 3)]
    Radiograph.objects.filter(id__in=patient).update(patient_hash="one")

    before = page(tara, f"/datasets/from-reviews/?parent={parent.pk}")
    child = build(tara, parent)

    splits = splits_of(child, predictions)
    counts = {split: splits.count(split) for split in ("train", "validation", "test")}
    assert counts["train"] >= 20
    assert min(counts["validation"], counts["test"]) >= 2
    assert splits[1] == splits[3] == "test", "a copy takes the X-rays of its patient along"
    assert child.reviewed_splits == counts
    said = [f"{counts['train']} for training", f"{counts['validation']} for validation"]
    for sentence in (*said, f"{counts['test']} for testing"):
        assert sentence in before
        assert sentence in page(tara, f"/datasets/{child.pk}/")
    assert "32 groups" in before
    assert "The largest group has 2 X-rays of one patient or study." in before
    assert "10 stay test images" in before
    assert child.frozen_test == {"kept": 10, "gone": {}}


def test_the_frozen_test_images_that_are_gone_are_counted_with_the_reason(
    tara: User, rita: User, owner: User, parent: DatasetVersion, model: ModelVersion
) -> None:
    predictions = [answered(owner, model, seed=seed) for seed in range(12)]
    for prediction in predictions:
        say(rita, prediction, "", "no_fracture")
    child = build(tara, parent)
    tested = [
        prediction
        for prediction, split in zip(predictions, splits_of(child, predictions), strict=True)
        if split == "test"
    ]
    trashed, *others = tested
    Radiograph.objects.filter(id=trashed.radiograph_id).update(deleted_at=trashed.created_at)

    before = page(tara, f"/datasets/from-reviews/?parent={child.pk}")
    grandchild = build(tara, child)

    assert grandchild.frozen_test == {"kept": 10 + len(others), "gone": {"in_the_trash": 1}}
    assert f"{10 + len(others)} stay test images. The others would be gone: 1: In the trash" in before
    after = page(tara, f"/datasets/{grandchild.pk}/")
    assert f"{10 + len(others)} kept as test images. The others are gone: 1: In the trash" in after


def test_a_copy_with_another_label_does_not_remove_a_frozen_test_image(
    tara: User, rita: User, owner: User, parent: DatasetVersion, model: ModelVersion
) -> None:
    copied, other = (answered(owner, model, seed=seed) for seed in range(2))
    copy_of_test_image(copied, parent, CLASSES[0])
    say(rita, copied, OTHER)
    say(rita, other, OTHER)

    child = build(tara, parent)

    assert child.frozen_test == {"kept": 10, "gone": {}}
    assert child.reviewed == {"used": 1, "copies_under_different_labels": 1}
    assert child.num_images == parent.num_images + 1


def test_the_file_of_a_test_image_that_the_parent_lacks_is_a_test_image(
    tara: User, rita: User, owner: User, parent: DatasetVersion, model: ModelVersion, tmp_path: Path
) -> None:
    other = stored_dataset(tmp_path / "other", first=2000)
    predictions = [answered(owner, model, seed=seed) for seed in range(2)]
    for prediction in predictions:
        say(rita, prediction, OTHER)
    test = next(item for item in items(other) if item.split == "test")
    Radiograph.objects.filter(id=predictions[0].radiograph_id).update(sha256=test.sha256)

    assert splits_of(build(tara, parent), predictions)[0] == "test"
