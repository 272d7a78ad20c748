"""A queued recalibration -> a model version with the same networks, calibrated on the reviewed radiographs."""

import csv
import shutil
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.files.storage import default_storage
from django.db import transaction

from classifier.core.jobs import Refused, run_claimed, watch
from classifier.core.leases import Lease
from classifier.core.ml_process import MlProcess
from classifier.core.models import AuditEntry
from classifier.registry import bundles
from classifier.registry.models import ModelVersion
from classifier.training.models import Recalibration
from classifier.training.reviewed_findings import count_reviewed_findings, reviewed_findings
from ml.serve.bundle import Bundle, BundleError, differ_by_calibration_only, open_bundle


def run_recalibration(recalibration_id: int) -> None:
    """Do one queued recalibration, or nothing when it is finished, held by another worker, or gone."""
    related = Recalibration.objects.select_related("start_version", "created_by")
    recalibration = related.claim(recalibration_id)
    if recalibration is None:
        return
    remove_leftovers()
    folder: Path = settings.DATA_DIR / "recalibrations" / str(recalibration.pk)
    run_claimed(
        recalibration,
        lambda lease: _run(recalibration, lease, folder),
        refusals=(BundleError,),
        folder=folder,
    )


def remove_leftovers() -> None:
    """Remove the X-rays that a killed worker left on this host, once their recalibration is finished."""
    # Listed before the rows are read: a recalibration that begins in between is not a leftover.
    folders = list((settings.DATA_DIR / "recalibrations").glob("*"))
    unfinished = {str(row_id) for row_id in Recalibration.objects.unfinished().values_list("id", flat=True)}
    for folder in folders:
        if folder.name not in unfinished:
            shutil.rmtree(folder, ignore_errors=True)


def _run(recalibration: Recalibration, lease: Lease, folder: Path) -> None:
    table = _write_xrays(folder / "images", lease)
    new = _recalibrate(recalibration, lease, folder, table)
    assert new.finding is not None  # noqa: S101 - the new bundle has the networks of the old one
    result = new.finding.card["figures"]["recalibrated"]
    archive = ""
    if result["is_changed"]:
        lease.renew_for_storing(phase="store")
        archive = bundles.store(new)
    with transaction.atomic():
        version, outcome = _version_of(recalibration, new, result, archive)
        lease.finish(Recalibration.State.SUCCEEDED, phase="", made_version=version, result=result)
        AuditEntry.objects.record(
            actor=None, action="recalibration finished", about=recalibration, outcome=outcome
        )
        recalibration.notify_creator(f"{recalibration} {outcome}.")


def _write_xrays(images: Path, lease: Lease) -> Path:
    """Copy the reviewed radiographs into an empty folder, and return the table of their findings."""
    shutil.rmtree(images, ignore_errors=True)
    images.mkdir(parents=True)
    reviewed = count_reviewed_findings()
    report_progress = lease.progress_callback("collect", reviewed.num_fractured + reviewed.num_unfractured)
    table = images / "labels.csv"
    with table.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "group", "fractured", "boxes", "original_sha256"])
        for number, each in enumerate(reviewed_findings(), start=1):
            radiograph = each.radiograph
            target = images / f"{radiograph.id}.png"
            try:
                with default_storage.open(str(radiograph.image)) as source, target.open("wb") as copy:
                    shutil.copyfileobj(source, copy)
            except FileNotFoundError:
                continue  # deleted a moment ago
            boxes = ";".join(" ".join(str(value) for value in box) for box in each.boxes)
            # The network may have been trained on the file that was uploaded, of which the image is a copy.
            writer.writerow([target.name, each.group, int(each.is_fractured), boxes, radiograph.sha256])
            report_progress(number)
    return table


def _recalibrate(recalibration: Recalibration, lease: Lease, folder: Path, table: Path) -> Bundle:
    old = bundles.fetch(recalibration.start_version)
    out = folder / "bundle"
    command: list[str | Path] = ["recalibrate", old.path, table, "--images", table.parent]
    with MlProcess([*command, "--out", out, "--jsonl"], work=folder) as process:
        watch(process, lease, phase="start", fields_of=_step_fields)
    new = open_bundle(out)
    if not differ_by_calibration_only(old, new):
        raise Refused("The recalibrated model has other networks than before, so it was not kept.")
    return new


def _step_fields(event: dict[str, Any]) -> dict[str, Any]:
    return {name: event[name] for name in ("phase", "step", "steps")}


def _version_of(
    recalibration: Recalibration, new: Bundle, result: dict[str, Any], archive: str
) -> tuple[ModelVersion, str]:
    """Returns the version that answers as the new bundle does, created if there is none, and the outcome in words."""
    if not result["is_changed"]:
        start = recalibration.start_version
        return start, f"changed nothing: the weights and thresholds are those of {start}"
    known = ModelVersion.objects.filter(checksum=new.checksum).first()
    if known:
        return known, f"reproduced {known} exactly"
    version = _make_version(recalibration, new, archive)
    return version, f"created {version}"


def _make_version(recalibration: Recalibration, bundle: Bundle, archive: str) -> ModelVersion:
    return ModelVersion.objects.create(
        number=ModelVersion.objects.next_number(),
        checksum=bundle.checksum,
        archive=archive,
        card=bundle.full_card,
        source=ModelVersion.Source.RECALIBRATED,
        created_by=recalibration.created_by,
        code_version=settings.VERSION,
        # The evaluation of the kinds, whose network and calibration are the same.
        report=recalibration.start_version.report,
    )
