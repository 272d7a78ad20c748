"""Recalibration of the finding in the worker: leases, progress, and the copies of X-rays."""

import re
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from classifier.core.jobs import run_claimed
from classifier.core.leases import Lease
from classifier.core.ml_process import CommandCrashed
from classifier.core.models import User
from classifier.core.worker_stop import WorkerStopping
from classifier.registry.models import ModelVersion
from classifier.training.models import Recalibration, RecalibrationQuerySet
from portal.celery import remove_copied_radiographs
from portal.operations.purge import purge
from tests.people import signed_in
from tests.retraining import CLASSES, person
from tests.retraining_rows import recalibration_result

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


@pytest.mark.parametrize("error", [CommandCrashed("killed"), RuntimeError(), WorkerStopping("stop")])
def test_a_worker_whose_lease_expired_leaves_the_x_rays_to_the_next_one(
    error: Exception, model: ModelVersion, tmp_path: Path
) -> None:
    recalibration = Recalibration.objects.create(start_version=model)
    stale = Recalibration.objects.claim(recalibration.pk)
    assert stale is not None
    table = tmp_path / "work" / "labels.csv"
    table.parent.mkdir()
    table.write_text("image,group,fractured")

    def lose(lease: Lease) -> None:
        Recalibration.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
        assert Recalibration.objects.claim(recalibration.pk)
        raise error

    run_claimed(stale, lose, folder=table.parent)
    assert table.exists()
    recalibration.refresh_from_db()
    assert (recalibration.state, recalibration.attempts) == ("running", 2)


@pytest.mark.parametrize("error", [CommandCrashed("killed"), RuntimeError(), WorkerStopping("stop")])
def test_the_x_rays_are_removed_before_another_worker_can_claim_the_row(
    error: Exception, model: ModelVersion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recalibration = Recalibration.objects.create(start_version=model)
    claimed = Recalibration.objects.claim(recalibration.pk)
    assert claimed is not None
    claimable = []
    remove = shutil.rmtree

    def look_and_remove(folder: Path, **options: Any) -> None:
        claimable.append(Recalibration.objects.claimable(timezone.now()).exists())
        remove(folder, **options)

    def fail(lease: Lease) -> None:
        raise error

    monkeypatch.setattr(shutil, "rmtree", look_and_remove)
    (tmp_path / "work").mkdir()
    run_claimed(claimed, fail, folder=tmp_path / "work")
    assert claimable == [False]
    assert not (tmp_path / "work").exists()
    assert Recalibration.objects.due_for_message(timezone.now() + timedelta(minutes=1)).exists()


def test_progress_that_came_too_soon_is_saved_next_time(model: ModelVersion) -> None:
    recalibration = Recalibration.objects.create(start_version=model)
    claimed = Recalibration.objects.claim(recalibration.pk)
    assert claimed is not None
    lease = Lease(claimed)
    lease.renew(phase="predict", step=10, steps=120)
    lease.renew(phase="predict", step=120, steps=120)
    recalibration.refresh_from_db()
    assert recalibration.step == 10
    lease.renew(now=True)
    recalibration.refresh_from_db()
    assert recalibration.step == 120


@pytest.mark.parametrize("door", ["purge", "worker start"])
def test_the_x_rays_of_a_recalibration_that_was_given_up_are_deleted(
    door: str, model: ModelVersion, settings: Any, tmp_path: Path
) -> None:
    settings.DATA_DIR = tmp_path
    running, given_up = (
        Recalibration.objects.create(start_version=model, state=state) for state in ("running", "failed")
    )
    for recalibration in (running, given_up):
        (tmp_path / "recalibrations" / str(recalibration.pk) / "images").mkdir(parents=True)

    if door == "purge":
        purge()
    else:
        remove_copied_radiographs()

    assert [folder.name for folder in (tmp_path / "recalibrations").iterdir()] == [str(running.pk)]


def test_a_recalibration_that_begins_during_the_clean_up_keeps_its_x_rays(
    model: ModelVersion, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.DATA_DIR = tmp_path
    list_unfinished = RecalibrationQuerySet.unfinished

    def begin_after(rows: RecalibrationQuerySet) -> list[Any]:
        found = list_unfinished(rows).filter(state="none")
        (tmp_path / "recalibrations" / "7" / "images").mkdir(parents=True)
        return found

    monkeypatch.setattr(RecalibrationQuerySet, "unfinished", begin_after)
    purge()
    assert (tmp_path / "recalibrations" / "7" / "images").exists()


def test_a_recalibration_that_changed_nothing_says_so(as_tara: Client, model: ModelVersion) -> None:
    recalibration = Recalibration.objects.create(
        start_version=model, made_version=model, state="succeeded", result=recalibration_result()
    )
    text = words(as_tara.get(f"/recalibrations/{recalibration.pk}/").content)
    assert "Nothing changed: the new weights and thresholds are those of Model 1 ." in text
    assert "Recalibrated from" not in words(as_tara.get("/models/1/").content)
