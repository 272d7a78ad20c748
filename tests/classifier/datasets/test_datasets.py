"""Data set versions: what is refused at the door, what a worker makes of the rest, what never changes."""

import csv
import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import default_storage

from classifier.core.errors import NotAllowedNow, UploadRefused, UploadTooLarge
from classifier.core.models import AuditEntry, Notification, Site, User
from classifier.datasets import archives
from classifier.datasets.jobs.build import PHASES, build_dataset
from classifier.datasets.models import DatasetVersion
from classifier.datasets.reviewed_images import reviewed_images
from classifier.datasets.services import (
    expected_classes,
    request_dataset_from_reviews,
    request_dataset_from_zip,
)
from classifier.radiographs.models import Radiograph
from classifier.registry.models import ModelVersion
from classifier.reviews.services import record_review
from ml.__main__ import main
from ml.data.manifests import Item, Manifest
from tests.client import png
from tests.data_sets import KINDS, draw_distinct, draw_zip, zip_of
from tests.people import api_client, signed_in
from tests.retraining import CLASSES, ONE, OTHER, answered, person, say, stored_dataset, zip_file

# Uploads are removed when the transaction is through.
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def tara(db: None) -> User:
    return person("tara", "Trainers")


@pytest.fixture(autouse=True)
def _own_data_folder(settings: Any, tmp_path: Path) -> None:
    settings.DATA_DIR = tmp_path / "var"


@pytest.fixture
def kept(files: Path) -> Callable[[], list[str]]:
    """The files that are stored of data sets."""
    return lambda: sorted(
        path.relative_to(files).as_posix() for path in (files / "datasets").rglob("*") if path.is_file()
    )


def send(user: User, content: bytes, **options: Any) -> DatasetVersion:
    return request_dataset_from_zip(user=user, upload=zip_file(content), **options)


def build(dataset: DatasetVersion) -> DatasetVersion:
    build_dataset(dataset.pk)
    dataset.refresh_from_db()
    return dataset


def items_of(dataset: DatasetVersion) -> list[Item]:
    return archives.read_manifest(dataset).items


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"no zip", "not a zip"),
        (zip_of({"../1.png": b"x"}), "points outside its folder"),
        (zip_of({f"{name}/1.png": b"x" for name in CLASSES[:-1]}), "lacks the class"),
        (zip_of({f"{name}/1.png": b"x" for name in [*CLASSES, "New one"]}), "unknown class"),
    ],
)
def test_what_the_table_of_contents_shows_is_refused_at_the_door(
    tara: User, model: ModelVersion, kept: Callable[[], list[str]], content: bytes, error: str
) -> None:
    with pytest.raises(UploadRefused, match=error):
        send(tara, content)
    assert not DatasetVersion.objects.exists()
    assert kept() == []


def test_the_page_can_name_each_phase_of_the_audit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with zipfile.ZipFile(io.BytesIO(draw_zip(2))) as archive:
        archive.extractall(tmp_path / "images")
    assert main(["audit", str(tmp_path / "images"), "--out", str(tmp_path / "audit"), "--jsonl"]) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {event["phase"] for event in events if "phase" in event} == set(PHASES)


def test_a_zip_over_the_limit_is_refused(tara: User, settings: Any) -> None:
    settings.DATASET_MAX_BYTES = 10

    with pytest.raises(UploadTooLarge):
        send(tara, zip_of({"A/1.png": b"x"}))


def test_a_zip_becomes_an_audited_version_and_the_same_images_are_no_second_one(
    tara: User, kept: Callable[[], list[str]]
) -> None:
    content = draw_zip(6)
    dataset = build(send(tara, content, new_classes=True))

    assert (dataset.state, dataset.error) == ("succeeded", "")
    assert dataset.classes == sorted(KINDS)
    assert dataset.num_images == 18
    assert {row["class"]: row["all"] for row in dataset.class_balance} == dict.fromkeys(KINDS, 6)
    assert all(dataset.num_by_split.values())
    assert dataset.report["num_images"] == 18
    assert dataset.samples[KINDS[0]][0].startswith(f"{KINDS[0]}/T")
    name = f"datasets/{dataset.checksum}-{dataset.pk}"
    assert kept() == [f"{name}.csv", f"{name}.zip"]
    assert (
        Notification.objects.for_user(tara)
        .get()
        .text.startswith(f"Data set {dataset.pk} is ready: 18 images")
    )

    manifest = archives.unpack(dataset, lambda number: None)
    assert manifest.checksum() == dataset.checksum
    assert all(manifest.file(item).exists() for item in manifest.items)

    finished_at = dataset.finished_at
    assert build(dataset).finished_at == finished_at, "a second message finds nothing to do"

    again = build(send(tara, content))
    assert again.state == "failed"
    assert again.error == f"Data set {dataset.pk} already contains exactly these images and labels."
    assert len(kept()) == 2


def test_a_test_image_is_one_in_every_later_version_also_after_a_version_without_it(tara: User) -> None:
    first = build(send(tara, draw_zip(6), new_classes=True))
    tested = {item.sha256 for item in items_of(first) if item.split == "test"}
    learned = {item.sha256 for item in items_of(first) if item.split != "test"}
    other = build(send(tara, draw_zip(6, first=50)))
    assert other.state == "succeeded"

    both = io.BytesIO()
    with zipfile.ZipFile(both, "w") as archive:
        for content in (draw_zip(6), draw_zip(6, first=50)):
            with zipfile.ZipFile(io.BytesIO(content)) as part:
                for name in part.namelist():
                    archive.writestr(name, part.read(name))
    third = build(send(tara, both.getvalue()))

    assert third.parent == other
    sides = {item.sha256: item.split for item in items_of(third)}
    assert {sides[sha256] for sha256 in tested} == {"test"}
    assert "test" not in {sides[sha256] for sha256 in learned}


def test_what_no_image_can_be_read_of_is_refused_with_a_sentence_and_nothing_stays(
    tara: User, kept: Callable[[], list[str]], settings: Any
) -> None:
    broken = {f"{name}/{number}.png": b"no image" for name in "AB" for number in range(3)}
    dataset = build(send(tara, zip_of(broken), new_classes=True))

    assert dataset.state == "failed"
    assert dataset.error == "None of the 6 image files can be read."
    assert kept() == []
    assert not list((settings.DATA_DIR / "datasets").glob("building-*"))
    assert "could not be made" in Notification.objects.for_user(tara).get().text
    assert AuditEntry.objects.about(dataset).newest_first()[0].action == "data set refused"


def test_a_class_of_which_nothing_is_left_is_refused(tara: User) -> None:
    files = {f"B/{number}.png": b"no image" for number in range(3)}
    with zipfile.ZipFile(io.BytesIO(draw_zip(4, KINDS[:2]))) as archive:
        files |= {name: archive.read(name) for name in archive.namelist()}
    dataset = build(send(tara, zip_of(files), new_classes=True))

    assert dataset.state == "failed"
    assert "The class 'B' has no training images left" in dataset.error


def test_a_worker_that_builds_the_same_images_replaces_no_file_of_the_first(
    tara: User, tmp_path: Path, files: Path
) -> None:
    """It would be gone if the second worker were killed in the middle of it."""
    first = stored_dataset(tmp_path / "one")
    before = (files / first.archive).stat()
    second = DatasetVersion.objects.create(source=DatasetVersion.Source.ZIP)
    manifest = archives.unpack(first, lambda number: None)
    stored = archives.store(second, manifest, lambda number: None, lambda: None)
    assert (files / first.archive).stat() == before
    assert set(stored).isdisjoint({first.archive, first.manifest})


def test_a_changed_archive_is_noticed(tara: User, tmp_path: Path, files: Path) -> None:
    dataset = stored_dataset(tmp_path / "images")
    path = files / dataset.archive
    content = bytearray(path.read_bytes())
    content[2000] ^= 1
    path.write_bytes(bytes(content))

    with pytest.raises((archives.ArchiveDamaged, zipfile.BadZipFile)):
        archives.unpack(dataset, lambda number: None)
    assert not (tmp_path / "var" / "datasets" / str(dataset.checksum)).exists()


class TestReviewed:
    @pytest.fixture
    def site(self) -> Site:
        return Site.objects.create(name="Ward 3", allows_training=True)

    @pytest.fixture
    def owner(self, site: Site) -> User:
        return person("olga", site=site)

    @pytest.fixture
    def two(self) -> list[User]:
        return [person(name, "Reviewers") for name in ("rita", "raj")]

    def test_only_what_reviewers_agree_on_and_the_site_allows_is_used(
        self, owner: User, two: list[User], alice: User, model: ModelVersion
    ) -> None:
        rita, raj = two
        agreed, unclear, disputed, blurred, whole, elsewhere, trashed = (
            answered(person_, model, seed=seed)
            for seed, person_ in enumerate((owner, owner, owner, owner, owner, alice, owner))
        )
        for reviewer in two:
            say(reviewer, agreed, OTHER)
        say(rita, unclear, ONE)
        say(raj, unclear, OTHER)
        say(rita, disputed, ONE)
        say(raj, disputed, finding="no_fracture")
        say(rita, blurred, finding="not_assessable")
        say(rita, whole, finding="no_fracture")
        say(rita, elsewhere, ONE)
        say(rita, trashed, ONE)
        Radiograph.objects.filter(id=trashed.radiograph_id).update(deleted_at=trashed.created_at)

        reviewed = reviewed_images(CLASSES)

        found = {image.radiograph: (image.label, image.finding.fractured) for image in reviewed.images}
        assert found == {
            agreed.radiograph: (OTHER, True),
            unclear.radiograph: ("no-kind", True),
            whole.radiograph: ("no-kind", False),
        }
        assert reviewed.counts == {
            "used": 1,
            "used_for_the_finding_only": 2,
            "in_the_trash": 1,
            "owner_has_no_site": 1,
            "reviewers_disagree": 1,
            "not_assessable": 1,
        }
        with_whole = reviewed_images([*CLASSES, "Not fractured"]).images
        assert "Not fractured" in {image.label for image in with_whole}

    def test_they_join_the_earlier_images_in_groups_of_one_patient_until_they_are_deleted(
        self, owner: User, two: list[User], tara: User, model: ModelVersion, tmp_path: Path
    ) -> None:
        parent = stored_dataset(tmp_path / "images")
        predictions = [answered(owner, model, seed=seed) for seed in range(3)]
        for prediction in predictions:
            say(two[0], prediction, ONE)
        pair = [prediction.radiograph_id for prediction in predictions[1:]]
        Radiograph.objects.filter(id__in=pair).update(patient_hash="one")

        child = build(request_dataset_from_reviews(user=tara, parent=parent))

        assert (child.state, child.error) == ("succeeded", "")
        assert child.reviewed == {"used": 3}
        added = [item for item in items_of(child) if "reviewed-" in item.path]
        assert len(added) == 3
        assert {item.label for item in added} == {ONE}
        assert len({item.group for item in added}) == 2
        before = {item.sha256: item.split for item in items_of(parent)}
        assert {item.sha256: item.split for item in items_of(child) if item.sha256 in before} == before

        predictions[0].radiograph.delete()
        grandchild = build(request_dataset_from_reviews(user=tara, parent=child))
        assert len([item for item in items_of(grandchild) if "reviewed-" in item.path]) == 2
        assert len(items_of(child)) == child.num_images == grandchild.num_images + 1

        Site.objects.update(allows_training=False)
        with pytest.raises(NotAllowedNow, match="no reviewed X-rays from a site that allows training"):
            request_dataset_from_reviews(user=tara, parent=child)


class TestFindings:
    """What a data set knows of fractures: from a table in a zip, and from reviews."""

    def test_a_table_in_a_zip_says_which_images_are_fractured(self, tara: User, model: ModelVersion) -> None:
        files = {f"no-kind/{number}.png": png(draw_distinct("Oblique", 700 + number)) for number in range(8)}
        rows = [
            f"no-kind/{number}.png,p{number},{number % 2},{'1 2 30 40' if number % 2 else ''}"
            for number in range(8)
        ]
        table = "\n".join(["image,group,fractured,boxes", *rows]).encode()

        dataset = build(
            send(
                tara,
                zip_of({f"X-rays/{name}": data for name, data in {**files, "findings.csv": table}.items()}),
            )
        )

        assert (dataset.state, dataset.error, dataset.classes) == ("succeeded", "", [])
        assert dataset.num_images == 8
        found = dataset.findings
        assert {split: numbers["fractured"] + numbers["unfractured"] for split, numbers in found.items()} == (
            dataset.num_by_split
        )
        assert sum(numbers["with_boxes"] for numbers in found.values()) == 4
        assert DatasetVersion.objects.newest_classes() == []
        assert expected_classes() == CLASSES, "those of the live model"
        page = signed_in(tara).get(f"/datasets/{dataset.pk}/").content.decode()
        assert "X-rays that are known to show a fracture or not." in page
        body = api_client(tara).get(f"/api/v1/dataset-versions/{dataset.pk}/").json()
        assert body["findings"] == found

    @pytest.mark.parametrize(
        ("files", "error"),
        [
            ({"A/1.png": b"x", "no-kind/2.png": b"x"}, "the zip must contain findings.csv"),
            ({"A/1.png": b"x", "A/findings.csv": b"x"}, "must be beside the class folders"),
        ],
    )
    def test_a_zip_with_a_misplaced_or_missing_table_is_refused_at_the_door(
        self, tara: User, files: dict[str, bytes], error: str
    ) -> None:
        with pytest.raises(UploadRefused, match=error):
            send(tara, zip_of(files), new_classes=True)

    def test_a_table_that_does_not_fit_the_images_is_refused_with_its_line(self, tara: User) -> None:
        files = {
            "no-kind/1.png": png(draw_distinct("Oblique", 1)),
            "findings.csv": b"image,group,fractured\n2.png,a,1\n",
        }
        dataset = build(send(tara, zip_of(files)))
        assert dataset.state == "failed"
        assert "findings.csv line 2: '2.png' is not an image" in dataset.error

    def test_reviews_bring_their_findings_and_boxes_and_later_versions_keep_those_of_the_parent(
        self, tara: User, model: ModelVersion, tmp_path: Path
    ) -> None:
        parent = stored_dataset(tmp_path / "images")
        owner = person("olga", site=Site.objects.create(name="Ward 3", allows_training=True))
        rita = person("rita", "Reviewers")
        broken, whole = (answered(owner, model, seed=seed) for seed in range(2))
        boxes = [{"x": 10, "y": 20, "width": 30, "height": 40}]
        record_review(reviewer=rita, prediction=broken, finding="fracture", class_name=ONE, boxes=boxes)
        say(rita, whole, finding="no_fracture")

        child = build(request_dataset_from_reviews(user=tara, parent=parent))

        assert (child.state, child.error, child.classes) == ("succeeded", "", CLASSES)
        known = {item.label: item.finding for item in items_of(child) if item.finding}
        assert {label: found.fractured for label, found in known.items()} == {ONE: True, "no-kind": False}
        assert known[ONE].boxes == ((10, 20, 30, 40),)
        assert known[ONE].original_sha256 == broken.radiograph.sha256
        assert child.num_images == parent.num_images + 2
        assert child.test_checksum == Manifest.of(tmp_path, _kinds_for_testing(child)).checksum()

        whole.radiograph.delete()
        grandchild = build(request_dataset_from_reviews(user=tara, parent=child))
        assert [item.label for item in items_of(grandchild) if item.finding] == [ONE]


def _kinds_for_testing(dataset: DatasetVersion) -> list[Item]:
    test = [item for item in items_of(dataset) if item.split == "test" and item.label != "no-kind"]
    return [replace(item, finding=None) for item in test]


def test_a_version_cannot_be_built_on_one_that_failed(tara: User) -> None:
    failed = DatasetVersion.objects.create(source="zip", state="failed")

    with pytest.raises(NotAllowedNow, match="is not ready"):
        request_dataset_from_reviews(user=tara, parent=failed)


def test_the_manifest_is_kept_beside_the_images(tara: User, tmp_path: Path) -> None:
    dataset = stored_dataset(tmp_path / "images")

    with default_storage.open(dataset.manifest, "rb") as file:
        rows = list(csv.DictReader(io.TextIOWrapper(file, "utf-8")))
    assert len(rows) == dataset.num_images == 40
    assert Manifest.of(tmp_path, items_of(dataset)).checksum() == dataset.checksum
    assert archives.read_image(dataset, rows[0]["path"]).startswith(b"\x89PNG")
    with pytest.raises(KeyError):
        archives.read_image(dataset, "../manifest.csv")
