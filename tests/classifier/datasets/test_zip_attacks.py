"""Zips made to harm are refused with one sentence and leave nothing: no row, no file, no folder."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from rest_framework.test import APIClient

from classifier.core.models import AuditEntry
from classifier.datasets.jobs.build import build_dataset
from classifier.datasets.models import DatasetVersion
from tests.data_sets import zip_of
from tests.fuzz.watch import is_error_text
from tests.people import api_client
from tests.retraining import person, zip_file
from tests.zip_attacks import ATTACKS, IMAGE, LIES, good

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.filterwarnings("ignore:Duplicate name")]


@pytest.fixture(autouse=True)
def _own_data_folder(settings: Any, tmp_path: Path) -> None:
    settings.DATA_DIR = tmp_path / "var"


@pytest.fixture
def as_tara(db: None) -> APIClient:
    return api_client(person("tara", "Trainers"))


@pytest.fixture
def left(files: Path, tmp_path: Path) -> Callable[[], list[Path]]:
    """All files that are left: in the storage, in the workers' folder, and of incoming requests."""
    folders = [files, tmp_path / "var", Path(django_settings.FILE_UPLOAD_TEMP_DIR)]
    return lambda: [path for folder in folders for path in folder.rglob("*") if path.is_file()]


def send(client: APIClient, content: bytes, **options: str) -> Any:
    fields = {"file": zip_file(content), "new_classes": "true", **options}
    return client.post("/api/v1/dataset-versions/", fields, format="multipart")


@pytest.mark.parametrize("kind", ATTACKS)
def test_what_the_table_of_contents_shows_is_refused_at_the_door(
    as_tara: APIClient, left: Callable[[], list[Path]], kind: str
) -> None:
    make, error = ATTACKS[kind]
    answer = send(as_tara, make())
    assert answer.status_code == 400
    assert list(answer.json()) == ["detail"]
    assert error in answer.json()["detail"]
    assert is_error_text(answer.json()["detail"])
    assert (DatasetVersion.objects.count(), AuditEntry.objects.count(), left()) == (0, 0, [])


@pytest.mark.parametrize("kind", LIES)
def test_what_shows_only_while_unpacking_is_refused_by_the_worker(
    as_tara: APIClient, left: Callable[[], list[Path]], tmp_path: Path, kind: str
) -> None:
    make, error = LIES[kind]
    answer = send(as_tara, make())
    assert answer.status_code == 201
    build_dataset(answer.json()["id"])
    dataset = DatasetVersion.objects.get()
    assert dataset.state == "failed"
    assert error in dataset.error
    assert is_error_text(dataset.error)
    assert (dataset.upload, left()) == ("", []), "no row keeps the zip from the purge"
    assert not list(tmp_path.glob("*.png")), "nothing was unpacked outside"


@pytest.mark.parametrize(
    ("names", "error"), [(("A",), "lacks the class 'B'"), (("A", "B", "C"), "the unknown class 'C'")]
)
def test_a_class_that_is_missing_or_unknown_is_refused_unless_new_ones_are_meant(
    as_tara: APIClient, left: Callable[[], list[Path]], names: tuple[str, ...], error: str
) -> None:
    DatasetVersion.objects.create(source="zip", state="succeeded", classes=["A", "B"])
    answer = send(as_tara, zip_of({f"{name}/1.png": IMAGE for name in names}), new_classes="false")
    assert answer.status_code == 400
    assert error in answer.json()["detail"]
    assert is_error_text(answer.json()["detail"])
    assert (DatasetVersion.objects.count(), left()) == (1, [])


def test_a_zip_in_a_zip_is_no_image_and_is_not_unpacked(
    as_tara: APIClient, left: Callable[[], list[Path]]
) -> None:
    """However deep it is nested: one called .png is what any file is that cannot be read."""
    nested = zip_of(good())
    for _ in range(5):
        nested = zip_of({"A/1.png": nested, "A/2.zip": nested})
    answer = send(as_tara, nested)
    assert answer.status_code == 201
    build_dataset(answer.json()["id"])
    assert DatasetVersion.objects.get().error == "None of the 1 image files can be read."
    assert left() == []


def test_what_the_attacks_are_made_of_is_accepted_when_it_is_honest(as_tara: APIClient) -> None:
    """Else the refusals above would show little."""
    assert (
        send(as_tara, zip_of(good(**{"A/کتاب‌خانه.png": IMAGE, "B/Ångström.png": IMAGE}))).status_code == 201
    )
