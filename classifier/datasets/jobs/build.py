"""A zip, or an earlier version and reviewed radiographs -> an audited, immutable data set version."""

import logging
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction

from classifier.core.jobs import Refused, run_claimed, watch
from classifier.core.leases import Lease
from classifier.core.ml_process import MlProcess, read_json
from classifier.core.models import AuditEntry
from classifier.core.storage import is_storage_full
from classifier.datasets import archives
from classifier.datasets.earlier import frozen_outcome
from classifier.datasets.jobs.collect_images import add_reviewed, unpack_upload, write_previous
from classifier.datasets.models import DatasetVersion
from classifier.datasets.reviewed_images import LeftOut, ReviewedImages, count_outcomes
from classifier.datasets.zip_checks import ZipRefused
from ml.data.manifests import NO_KIND, SPLITS, DatasetRefused, Item, Manifest

log = logging.getLogger(__name__)
NUM_SAMPLES = 6


def build_dataset(dataset_id: int) -> None:
    """Build one queued data set version, or do nothing when it is finished, held by another worker, or gone."""
    dataset = DatasetVersion.objects.select_related("parent", "created_by").claim(dataset_id)
    if dataset is None:
        return
    folder: Path = settings.DATA_DIR / "datasets" / f"building-{dataset.pk}"

    def build(lease: Lease) -> None:
        try:
            _build(dataset, lease, folder)
        except Exception as error:
            if is_storage_full(error):
                log.exception("Data set %s: the storage is full", dataset.pk)
                raise Refused("There is no space left on the server for this data set.") from error
            raise

    run_claimed(dataset, build, refusals=(ZipRefused, DatasetRefused), folder=folder)


def _build(dataset: DatasetVersion, lease: Lease, folder: Path) -> None:
    images = folder / "images"
    shutil.rmtree(images, ignore_errors=True)  # Half unpacked by an earlier attempt.
    images.mkdir(parents=True)
    reviewed = ReviewedImages([], {}, {})
    if dataset.source == DatasetVersion.Source.ZIP:
        unpack_upload(dataset, lease, images)
    else:
        reviewed = add_reviewed(dataset, lease, images)
    manifest, report = _audit(dataset, lease, folder)
    _check(manifest, images)
    on_progress = lease.progress_callback("store", len(manifest.items))
    archive, table = archives.store(dataset, manifest, on_progress, lease.renew_for_storing)
    with transaction.atomic():
        lease.finish(
            DatasetVersion.State.SUCCEEDED,
            archive=archive,
            manifest=table,
            report=report,
            phase="",
            **_describe(manifest),
            **_describe_reviewed(reviewed, manifest, report),
            frozen_test=_frozen(dataset, reviewed, manifest, report),
        )
        num_images, num_classes = len(manifest.items), len(manifest.classes)
        AuditEntry.objects.record(
            actor=None,
            action="data set built",
            about=dataset,
            checksum=manifest.checksum(),
            images=num_images,
        )
        in_classes = f" in {num_classes} classes" if num_classes else ""
        dataset.notify_creator(f"{dataset} is ready: {num_images} images{in_classes}.")
        dataset.delete_upload()


# The phases of `python -m ml audit`, as the page names them. The second one counts to 100.
PHASES = {"read": "audit: reading images", "compare": "audit: searching for copies (percent)"}


def _audit(dataset: DatasetVersion, lease: Lease, folder: Path) -> tuple[Manifest, dict[str, Any]]:
    out = folder / "audit"
    command: list[str | Path] = ["audit", folder / "images", "--out", out, "--jsonl"]
    if previous := write_previous(dataset, folder / "previous.csv"):
        command += ["--previous", previous]
    with MlProcess(command, work=folder) as process:
        watch(
            process,
            lease,
            phase="audit",
            fields_of=lambda event: {
                "phase": PHASES.get(event["phase"], event["phase"]),
                "step": event["step"],
                "steps": event["steps"],
            },
        )
    report: dict[str, Any] = read_json((out / "report.json").read_text(encoding="utf-8"))
    return Manifest.read(out / "manifest.csv", folder / "images"), report


def _check(manifest: Manifest, images: Path) -> None:
    same = DatasetVersion.objects.filter(checksum=manifest.checksum()).first()
    if same is not None:
        raise DatasetRefused(f"{same} already contains exactly these images and labels.")
    folders = {folder.name for folder in images.iterdir() if folder.is_dir()} - {NO_KIND}
    empty = folders - {item.label for item in manifest.subset("train")}
    if empty:
        raise DatasetRefused(
            f"The class {min(empty)!r} has no training images left: "
            "its images are too few, unreadable or have conflicting labels."
        )


def _describe(manifest: Manifest) -> dict[str, Any]:
    counts: dict[str, Counter[str]] = {split: Counter() for split in SPLITS}
    paths: dict[str, list[str]] = {name: [] for name in manifest.classes}
    kinds = [replace(item, finding=None) for item in manifest.subset("test") if item.label != NO_KIND]
    for item in manifest.items:
        counts[item.split][item.label] += 1
        paths.setdefault(item.label, []).append(item.path)
    return {
        "checksum": manifest.checksum(),
        "test_checksum": Manifest.of(manifest.root, kinds).checksum() if kinds else "",
        "classes": manifest.classes,
        "counts": counts,
        "findings": _count_findings(manifest),
        # Spread over the class: neighbours by name are often views of one bone.
        "samples": {
            name: those[:: max(1, len(those) // NUM_SAMPLES)][:NUM_SAMPLES] for name, those in paths.items()
        },
    }


def _describe_reviewed(
    reviewed: ReviewedImages, manifest: Manifest, report: dict[str, Any]
) -> dict[str, Any]:
    """Returns where the reviewed radiographs went; those that the audit dropped are left out, too."""
    if not reviewed.counts:
        return {}
    splits = {item.path: item.split for item in manifest.items}
    unreadable = {entry["path"] for entry in report["unreadable"]}
    dropped = {
        image.radiograph.id: LeftOut.UNREADABLE if image.path in unreadable else LeftOut.CONFLICT
        for image in reviewed.images
        if image.path not in splits
    }
    kept = [image for image in reviewed.images if image.path in splits]
    numbers = Counter(splits[image.path] for image in kept)
    return {
        "reviewed": count_outcomes((image.label for image in kept), reviewed.left_out | dropped),
        "reviewed_splits": {split: numbers[split] for split in SPLITS},
    }


def _frozen(
    dataset: DatasetVersion, reviewed: ReviewedImages, manifest: Manifest, report: dict[str, Any]
) -> dict[str, Any]:
    if dataset.parent is None:
        return {}
    is_zip = dataset.source == DatasetVersion.Source.ZIP
    earlier = archives.read_manifest(dataset.parent)
    return frozen_outcome(earlier, manifest, report, reviewed.left_out, is_zip=is_zip)


def _count_findings(manifest: Manifest) -> dict[str, dict[str, int]]:
    known = {split: [item for item in manifest.subset(split) if item.finding is not None] for split in SPLITS}
    return {split: _count(items) for split, items in known.items()} if any(known.values()) else {}


def _count(items: Sequence[Item]) -> dict[str, int]:
    labels = [item.finding for item in items if item.finding is not None]
    return {
        "fractured": sum(each.fractured for each in labels),
        "unfractured": sum(not each.fractured for each in labels),
        "with_boxes": sum(bool(each.boxes) for each in labels),
        "groups": len({item.group for item in items}),
    }
