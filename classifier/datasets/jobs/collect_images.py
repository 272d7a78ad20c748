"""The images of a data set version to be: unpacked from a zip, or an earlier version's and reviewed ones."""

import csv
import os
import shutil
from pathlib import Path
from typing import BinaryIO, cast

from django.core.files.storage import default_storage

from classifier.core.leases import Lease
from classifier.datasets import archives, zip_intake
from classifier.datasets.earlier import earlier_items
from classifier.datasets.jobs.dicom_pictures import replace_dicom
from classifier.datasets.models import DatasetVersion
from classifier.datasets.reviewed_images import ReviewedImages, is_reviewed_image, reviewed_images
from ml.data import finding_labels
from ml.data.manifests import FINDINGS, Manifest


def unpack_upload(dataset: DatasetVersion, lease: Lease, images: Path) -> None:
    """Raises: ZipRefused"""
    with default_storage.open(dataset.upload) as upload:
        file = cast(BinaryIO, upload)
        contents = zip_intake.read_contents(file)
        zip_intake.unpack(file, contents, images, lease.progress_callback("unpack", len(contents.entries)))
    replace_dicom(images, lease)


def add_reviewed(dataset: DatasetVersion, lease: Lease, images: Path) -> ReviewedImages:
    """The parent's images, and the radiographs on whose finding their reviewers agree, with a table of the findings.

    The reviewed ones of the parent are looked at anew: a verdict may have changed, a radiograph may be deleted,
    a site may allow it no longer.
    """
    parent = cast(DatasetVersion, dataset.parent)
    manifest = archives.unpack(parent, lease.progress_callback("fetch", parent.num_images))
    reviewed = reviewed_images(parent.classes)
    on_progress = lease.progress_callback("add reviewed", len(reviewed.images))
    with (images / FINDINGS).open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["image", "group", *finding_labels.COLUMNS])
        for item in manifest.items:
            if not is_reviewed_image(item.path):
                _copy(manifest.file(item), images / item.path)
                if item.finding is not None:
                    table.writerow([item.path, item.group, *item.finding.row()])
        for number, image in enumerate(reviewed.images, start=1):
            target = images / image.path
            target.parent.mkdir(parents=True, exist_ok=True)
            with default_storage.open(str(image.radiograph.image)) as source, target.open("wb") as copy:
                shutil.copyfileobj(source, copy)
            table.writerow([image.path, image.group, *image.finding.row()])
            on_progress(number)
    return reviewed


def write_previous(dataset: DatasetVersion, table: Path) -> Path | None:
    """Writes the table of all images of earlier versions with their sides; returns None if there are none."""
    items = earlier_items(before=dataset.pk)
    if not items:
        return None
    Manifest.of(table.parent, items).write(table)
    return table


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
