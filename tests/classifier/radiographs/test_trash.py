import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.test import Client
from django.utils import timezone

from classifier.core.models import AuditEntry, User
from classifier.radiographs.models import Prediction, Radiograph
from classifier.radiographs.services import trash_radiograph
from portal.operations.tasks import purge
from tests.conftest import xray
from tests.uploads import finish, receive


def kept(files: Path) -> set[str]:
    return {path.relative_to(files).as_posix() for path in files.rglob("*") if path.is_file()}


def age(files: Path, days: float) -> None:
    then = (timezone.now() - timedelta(days=days)).timestamp()
    for path in files.rglob("*"):
        os.utime(path, (then, then))


def test_what_was_deleted_comes_back_with_its_answer(as_alice: Client, radiograph: Radiograph) -> None:
    finish(radiograph)
    as_alice.post("/radiographs/delete/", {"id": str(radiograph.id)})
    assert as_alice.get(f"/radiographs/{radiograph.id}/").status_code == 404
    assert as_alice.get(f"/radiographs/{radiograph.id}/image/").status_code == 404
    assert radiograph._file_name in as_alice.get("/radiographs/trash/").text
    page = as_alice.post(f"/radiographs/{radiograph.id}/restore/", follow=True)
    assert "The trash is empty." in page.text
    assert as_alice.get(f"/radiographs/{radiograph.id}/").status_code == 200
    assert Prediction.objects.get(radiograph=radiograph).state == "succeeded"


def test_the_trash_of_others_is_theirs_alone(as_bob: Client, radiograph: Radiograph) -> None:
    trash_radiograph(radiograph=radiograph)
    assert radiograph._file_name not in as_bob.get("/radiographs/trash/").text
    for action in ("restore", "remove"):
        assert as_bob.post(f"/radiographs/{radiograph.id}/{action}/").status_code == 404
    assert Radiograph.objects.count() == 1


def test_what_is_not_in_the_trash_cannot_be_removed_past_it(as_alice: Client, radiograph: Radiograph) -> None:
    assert as_alice.post(f"/radiographs/{radiograph.id}/remove/").status_code == 404


def test_it_can_be_removed_for_good_at_once(
    as_alice: Client, radiograph: Radiograph, files: Path, django_capture_on_commit_callbacks: Any
) -> None:
    trash_radiograph(radiograph=radiograph)
    with django_capture_on_commit_callbacks(execute=True):
        as_alice.post(f"/radiographs/{radiograph.id}/remove/")
    assert (Radiograph.objects.count(), Prediction.objects.count(), kept(files)) == (0, 0, set())


def test_after_its_time_it_is_gone_with_file_thumbnail_and_rows_and_that_is_reported(
    alice: User, radiograph: Radiograph, files: Path, settings: Any, django_capture_on_commit_callbacks: Any
) -> None:
    fresh, untouched = receive(alice, xray("fresh.png")), receive(alice, xray("untouched.png"))
    settings.TRASH_DAYS = 30
    trash_radiograph(radiograph=radiograph)
    trash_radiograph(radiograph=fresh)
    long_ago = timezone.now() - timedelta(days=30, minutes=1)
    Radiograph.objects.filter(id=radiograph.id).update(deleted_at=long_ago)
    with django_capture_on_commit_callbacks(execute=True):
        purge()
    assert set(Radiograph.objects.all()) == {fresh, untouched}
    assert not any(str(radiograph.id) in path for path in kept(files))
    assert len(kept(files)) == 4
    report = AuditEntry.objects.get(action="purged")
    assert report.detail == {"radiographs": 1, "orphans": 0}


def test_files_that_no_row_names_are_removed_after_a_day(radiograph: Radiograph, files: Path) -> None:
    """What a process leaves that is killed between file and row."""
    named = kept(files)
    for path in ("radiographs/ab/orphan.png", "thumbnails/ab/orphan.jpg", "probes/left"):
        default_storage.save(path, ContentFile(b"orphan"))
    foreign = "somebody-elses/file.txt"
    default_storage.save(foreign, ContentFile(b"theirs"))
    purge()
    assert len(kept(files)) == len(named) + 4, "it may still be on its way"
    age(files, days=1.1)
    purge()
    assert kept(files) == {*named, foreign}
    assert AuditEntry.objects.get(action="purged").detail == {"radiographs": 0, "orphans": 3}


def test_a_purge_with_nothing_to_do_reports_nothing(radiograph: Radiograph) -> None:
    purge()
    assert not AuditEntry.objects.exists()


@pytest.mark.usefixtures("radiograph")
def test_the_history_leads_to_the_trash(as_alice: Client) -> None:
    assert 'href="/radiographs/trash/"' in as_alice.get("/radiographs/").text
