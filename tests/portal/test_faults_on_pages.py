"""Storage that is away, a full disk and unknown hosts: a true sentence and the right status, no traceback."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import cache
from django.core.management import call_command
from django.db import OperationalError, connection
from django.test import Client
from rest_framework.test import APIClient

from classifier.core.models import User
from classifier.radiographs.models import Radiograph
from classifier.registry.models import ModelVersion
from portal.storage_settings import storage
from tests.conftest import PASSWORD, xray
from tests.uploads import send

AWAY = "The file storage cannot be reached right now"


# A deletion of files waits for the commit.
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def away(settings: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[], None]:
    def make() -> None:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        default = storage("s3://callus?endpoint_url=http://127.0.0.1:1&region_name=nowhere", tmp_path)
        settings.STORAGES = {**settings.STORAGES, "default": default}

    return make


def test_an_upload_to_a_storage_that_is_away_says_so(
    alice_api: APIClient, as_alice: Client, model: ModelVersion, away: Callable[[], None]
) -> None:
    away()
    page = as_alice.post("/", {"file": xray()})
    script = as_alice.post("/", {"file": xray()}, headers={"Accept": "application/json"})
    for answer in (send(alice_api), page, script):
        assert answer.status_code == 503
        assert AWAY in answer.content.decode()
        assert int(answer["Retry-After"]) == 60
    assert not Radiograph.objects.exists()


def test_a_picture_in_a_storage_that_is_away_says_so(
    as_alice: Client, radiograph: Radiograph, away: Callable[[], None]
) -> None:
    away()
    for path in ("image", "thumbnail"):
        assert as_alice.get(f"/radiographs/{radiograph.id}/{path}/").status_code == 503


def test_an_x_ray_is_deleted_even_if_its_files_cannot_be(
    as_alice: Client, radiograph: Radiograph, away: Callable[[], None]
) -> None:
    """The purge finds the files that stay behind. That nothing was changed would not be true."""
    as_alice.post("/radiographs/delete/", {"id": radiograph.id})
    away()
    page = as_alice.post(f"/radiographs/{radiograph.id}/remove/", follow=True)
    assert page.status_code == 200
    assert "X-ray deleted permanently." in page.text
    assert not Radiograph.objects.exists()


def test_an_account_is_deleted_even_if_its_files_cannot_be(
    as_alice: Client, radiograph: Radiograph, away: Callable[[], None]
) -> None:
    away()
    page = as_alice.post("/account/delete/", {"password": PASSWORD}, follow=True)
    assert page.status_code == 200
    assert "Your account and all your X-rays have been deleted." in page.text
    assert not User.objects.exists()


def fill(statement: str, length: int) -> None:
    """Inserts rows until the database is full."""
    with connection.cursor() as cursor, pytest.raises(OperationalError, match="full"):
        for number in range(100_000):
            cursor.execute(statement, [f"{number}".rjust(length, "k"), 1])


def test_the_right_password_is_not_blamed_for_a_full_disk(
    transactional_db: None, client: Client, alice: User, settings: Any
) -> None:
    if connection.vendor != "sqlite":
        pytest.skip("a pragma of SQLite makes the fault")
    settings.CACHES = {
        **settings.CACHES,
        "default": {"BACKEND": "django.core.cache.backends.db.DatabaseCache", "LOCATION": "callus_cache"},
    }
    call_command("createcachetable", verbosity=0)
    try:
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA page_count")
            cursor.execute(f"PRAGMA max_page_count = {cursor.fetchone()[0]}")
        # Large rows first, then small ones for the space that these leave.
        for length in (300, 1):
            fill("INSERT INTO callus_cache VALUES (%s, %s, '2100-01-01 00:00:00')", length)
            fill("INSERT INTO core_writecount VALUES (%s, 0, %s)", length)
        answer = client.post("/accounts/login/", {"login": "alice", "password": PASSWORD})
    finally:
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA max_page_count = 1073741823")
            cursor.execute("DROP TABLE callus_cache")
        cache.close()
    assert answer.status_code == 507
    assert "The server has no space left" in answer.text
    assert "Too many" not in answer.text


def test_an_unknown_host_is_refused_without_a_traceback_in_the_log(
    client: Client, db: None, caplog: pytest.LogCaptureFixture
) -> None:
    assert client.get("/", headers={"Host": "evil.example"}).status_code == 400
    assert [record for record in caplog.records if record.exc_info] == []
