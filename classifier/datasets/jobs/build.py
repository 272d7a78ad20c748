"""A zip, or an earlier version and reviewed radiographs -> an audited, immutable data set version."""

import logging
import shutil
from collections import Counter
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.files.storage import default_storage
from django.db import transaction

from classifier.core.clock import database_now
from classifier.core.errors import StorageFull
from classifier.core.jobs import Hold, HoldLost, Stopping, watch
from classifier.core.ml_process import CommandFailed, MlProcess, WorkFolderBusy, read_json
from classifier.core.models import AuditEntry, Notification
from classifier.core.notifications import notify
from classifier.core.storage import is_storage_full
from classifier.datasets import archives
from classifier.datasets.jobs.collect_images import add_reviewed, unpack_upload, write_previous
from classifier.datasets.models import DatasetVersion
from classifier.datasets.zip_checks import ZipRefused
from ml.data.manifests import SPLITS, DatasetRefused, Manifest

log = logging.getLogger(__name__)
RETRY_AFTER = timedelta(seconds=10)
STORING_TAKES_AT_MOST = timedelta(minutes=30)
NUM_SAMPLES = 6


def build_dataset(dataset_id: int) -> None:
    """Build one queued data set version, or do nothing when it is finished, held by another worker, or gone."""
    lease_until = database_now() + timedelta(seconds=settings.LEASE_SECONDS)
    waiting = DatasetVersion.objects.select_related("parent", "created_by")
    dataset = waiting.claim(dataset_id, lease_until=lease_until)
    if dataset is None:
        return
    hold = Hold(dataset)
    folder: Path = settings.DATA_DIR / "datasets" / f"building-{dataset.pk}"
    try:
        _build(dataset, hold, folder)
    except (ZipRefused, DatasetRefused, CommandFailed) as refused:
        refuse(dataset, hold, str(refused))
    except HoldLost:
        # Its successor works in the folder.
        log.warning("%s is not ours any more", dataset)
        return
    except (Stopping, WorkFolderBusy) as reason:
        log.warning("%s is handed back: %s", dataset, reason)
        hold.hand_back()
    except Exception as error:
        log.exception("%s: attempt %s failed", dataset, dataset.attempts)
        if is_storage_full(error) or isinstance(error, StorageFull):
            refuse(dataset, hold, "There is no space left on the server for this data set.")
        else:
            hold.try_later(RETRY_AFTER)
    shutil.rmtree(folder, ignore_errors=True)


def refuse(dataset: DatasetVersion, hold: Hold, sentence: str) -> None:
    """The end of it, with a reason; nothing of the upload stays behind."""
    with transaction.atomic():
        hold.fail(sentence)
        conclude_failure(dataset, sentence)


def conclude_failure(dataset: DatasetVersion, sentence: str) -> None:
    _conclude(dataset, "refused", f"{dataset} could not be made. {sentence}", error=sentence)
    if dataset.upload:
        transaction.on_commit(partial(default_storage.delete, dataset.upload))


def _build(dataset: DatasetVersion, hold: Hold, folder: Path) -> None:
    images, groups = folder / "images", folder / "groups.csv"
    shutil.rmtree(images, ignore_errors=True)  # Half unpacked by an earlier attempt.
    images.mkdir(parents=True)
    reviewed: dict[str, int] = {}
    if dataset.source == DatasetVersion.Source.ZIP:
        unpack_upload(dataset, hold, images)
    else:
        reviewed = add_reviewed(dataset, hold, images, groups)
    manifest, report = _audit(dataset, hold, folder)
    _check(manifest, images)
    tell = hold.counts("store", len(manifest.items))
    archive, table = archives.store(manifest, tell, lambda: hold.keep(now=True, lease=STORING_TAKES_AT_MOST))
    with transaction.atomic():
        hold.finish(
            DatasetVersion.State.SUCCEEDED,
            archive=archive,
            manifest=table,
            report=report,
            reviewed=reviewed,
            phase="",
            **_describe(manifest),
        )
        text = f"{dataset} is ready: {len(manifest.items)} images in {len(manifest.classes)} classes."
        _conclude(dataset, "built", text, checksum=manifest.checksum(), images=len(manifest.items))
        if dataset.upload:
            transaction.on_commit(partial(default_storage.delete, dataset.upload))


def _audit(dataset: DatasetVersion, hold: Hold, folder: Path) -> tuple[Manifest, dict[str, Any]]:
    out, groups = folder / "audit", folder / "groups.csv"
    command: list[str | Path] = ["audit", folder / "images", "--out", out, "--jsonl"]
    if groups.exists():
        command += ["--groups", groups]
    if previous := write_previous(dataset, folder / "previous.csv"):
        command += ["--previous", previous]
    with MlProcess(command, work=folder) as process:
        watch(
            process, hold, phase="audit", take=lambda event: {"step": event["step"], "steps": event["steps"]}
        )
    report: dict[str, Any] = read_json((out / "report.json").read_text(encoding="utf-8"))
    return Manifest.read(out / "manifest.csv", folder / "images"), report


def _check(manifest: Manifest, images: Path) -> None:
    same = DatasetVersion.objects.filter(checksum=manifest.checksum()).first()
    if same is not None:
        raise DatasetRefused(f"These images with these labels are {same} already.")
    empty = {folder.name for folder in images.iterdir()} - {item.label for item in manifest.subset("train")}
    if empty:
        raise DatasetRefused(
            f"The class {min(empty)!r} has no image left to learn from: they are too few, unreadable, or contradicted."
        )


def _describe(manifest: Manifest) -> dict[str, Any]:
    counts: dict[str, Counter[str]] = {part: Counter() for part in SPLITS}
    paths: dict[str, list[str]] = {name: [] for name in manifest.classes}
    for item in manifest.items:
        counts[item.split][item.label] += 1
        paths[item.label].append(item.path)
    return {
        "checksum": manifest.checksum(),
        "test_checksum": Manifest.of(manifest.root, manifest.subset("test")).checksum(),
        "classes": manifest.classes,
        "counts": counts,
        # Spread over the class: neighbours by name are often views of one bone.
        "samples": {
            name: those[:: max(1, len(those) // NUM_SAMPLES)][:NUM_SAMPLES] for name, those in paths.items()
        },
    }


def _conclude(dataset: DatasetVersion, action: str, text: str, **detail: Any) -> None:
    AuditEntry.objects.record(actor=None, action=f"data set {action}", about=dataset, **detail)
    notify(dataset.created_by, text, Notification.Subject.DATASET_VERSION, dataset.pk)
