"""A disk that is full while an X-ray is received: a sentence, no row and no file."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.core.files.base import ContentFile, File
from django.core.files.storage import FileSystemStorage
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from rest_framework.test import APIClient

from classifier.core.models import User
from classifier.radiographs.models import Prediction, Radiograph
from classifier.registry.models import ModelVersion
from portal.uploads import UnnamedFileUploadHandler
from tests.conftest import PASSWORD, xray
from tests.people import api_client
from tests.uploads import send

SENTENCE = "The server has no space left, so nothing was stored."


class SmallDisk(FileSystemStorage):
    """A folder that takes `quota` bytes; the write that goes beyond is cut off in its middle, as on a disk."""

    quota = 0

    def _save(self, name: str, content: File[bytes]) -> str:
        used = sum(path.stat().st_size for path in Path(self.location).rglob("*") if path.is_file())
        fits = content.read(max(0, self.quota - used) + 1)
        if len(fits) <= self.quota - used:
            return super()._save(name, content)
        super()._save(name, ContentFile(fits[:-1]))
        raise OSError(errno.ENOSPC, "No space left on device", name)


class FullIncomingFolder(UnnamedFileUploadHandler):
    def new_file(self, *arguments: Any, **options: Any) -> None:
        super().new_file(*arguments, **options)
        full = os.open("/dev/full", os.O_WRONLY)  # the kernel itself says that there is no space
        os.dup2(full, self.file.fileno())
        os.close(full)


def assert_refused_and_nothing_kept(answer: Any, stored: Callable[[], list[str]]) -> None:
    assert answer.status_code == 507
    assert answer.json()["detail"].startswith(SENTENCE)
    assert (Radiograph.objects.count(), Prediction.objects.count(), stored()) == (0, 0, [])
    assert list(Path(django_settings.FILE_UPLOAD_TEMP_DIR).iterdir()) == []


@pytest.mark.parametrize("room_for", ["nothing", "half of the image", "the image, not the thumbnail"])
def test_the_storage_is_full(
    alice_api: APIClient,
    model: ModelVersion,
    settings: Any,
    files: Path,
    stored: Callable[[], list[str]],
    room_for: str,
) -> None:
    sent = send(alice_api)
    image_size = next((files / "radiographs").rglob("*.png")).stat().st_size
    Radiograph.objects.get(id=sent.json()["id"]).delete()
    for path in stored():
        (files / path).unlink()
    settings.STORAGES = {
        **settings.STORAGES,
        "default": {"BACKEND": f"{__name__}.SmallDisk", "OPTIONS": {"location": files}},
    }
    quotas = {"nothing": 0, "half of the image": image_size // 2, "the image, not the thumbnail": image_size}
    SmallDisk.quota = quotas[room_for]
    assert_refused_and_nothing_kept(send(alice_api), stored)


@pytest.fixture
def full_database(transactional_db: None) -> Iterator[None]:
    if connection.vendor != "sqlite":
        pytest.skip("a pragma of SQLite makes the fault")
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA page_count")
        pages = cursor.fetchone()[0]
        cursor.execute(f"PRAGMA max_page_count = {pages}")
        yield
        cursor.execute("PRAGMA max_page_count = 1073741823")


def test_the_database_is_full(
    alice_api: APIClient, model: ModelVersion, full_database: None, stored: Callable[[], list[str]]
) -> None:
    acknowledged = 0
    while (answer := send(alice_api)).status_code == 201:
        acknowledged += 1
        assert acknowledged < 200
    assert answer.status_code == 507
    assert Radiograph.objects.count() == Prediction.objects.count() == acknowledged
    assert len(stored()) == 2 * acknowledged


def test_the_folder_for_incoming_files_is_full(
    alice_api: APIClient, model: ModelVersion, settings: Any, stored: Callable[[], list[str]]
) -> None:
    settings.FILE_UPLOAD_HANDLERS = [
        "portal.uploads.SizeLimitUploadHandler",
        f"{__name__}.FullIncomingFolder",
    ]
    assert_refused_and_nothing_kept(send(alice_api), stored)


def test_with_space_again_the_same_file_is_welcome(
    alice_api: APIClient, model: ModelVersion, settings: Any, files: Path
) -> None:
    file = xray().read()
    kept = settings.STORAGES
    full = {"BACKEND": f"{__name__}.SmallDisk", "OPTIONS": {"location": files}}
    SmallDisk.quota = 0
    settings.STORAGES = {**kept, "default": full}
    assert send(alice_api, SimpleUploadedFile("x.png", file)).status_code == 507
    settings.STORAGES = kept
    assert send(alice_api, SimpleUploadedFile("x.png", file)).status_code == 201


def test_the_last_space_is_left_for_signing_in_and_deleting(
    alice_api: APIClient,
    model: ModelVersion,
    stored: Callable[[], list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept = send(alice_api).json()
    files = stored()
    usage = shutil.disk_usage(django_settings.DATA_DIR)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=50 * 1024**2 - 1))

    answer = send(alice_api)
    assert (answer.status_code, stored()) == (507, files)
    assert answer.json()["detail"].startswith(SENTENCE)
    person = User.objects.create_superuser("tess", password=PASSWORD)
    zipped = api_client(person).post(
        "/api/v1/dataset-versions/", {"file": xray("data.zip")}, format="multipart"
    )
    assert zipped.status_code == 507
    assert alice_api.delete(f"/api/v1/radiographs/{kept['id']}/").status_code == 204

    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=50 * 1024**2))
    assert send(alice_api).status_code == 201
