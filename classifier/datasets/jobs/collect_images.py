"""The images of a data set version to be: unpacked from a zip, or an earlier version's and reviewed ones."""

import csv
import os
import shutil
from pathlib import Path
from typing import BinaryIO, cast

from django.core.files.storage import default_storage

from classifier.core.leases import Lease
from classifier.datasets import archives, zip_intake
from classifier.datasets.jobs.dicom_pictures import replace_dicom
from classifier.datasets.models import DatasetVersion
from classifier.datasets.reviewed_images import is_reviewed_image, reviewed_images
from ml.data import finding_labels
from ml.data.manifests import FINDINGS, Item, Manifest


def unpack_upload(dataset: DatasetVersion, lease: Lease, images: Path) -> None:
    """Raises: ZipRefused"""
    with default_storage.open(dataset.upload) as upload:
        file = cast(BinaryIO, upload)
        contents = zip_intake.read_contents(file)
        zip_intake.unpack(file, contents, images, lease.progress_callback("unpack", len(contents.entries)))
    replace_dicom(images, lease)


def add_reviewed(dataset: DatasetVersion, lease: Lease, images: Path) -> dict[str, int]:
    """The parent's images, and the radiographs on whose finding their reviewers agree, with a table of the findings.

    The reviewed ones of the parent are looked at anew: a verdict may have changed, a radiograph may be deleted,
    a site may allow it no longer.

    Returns: how many radiographs were used, and how many left out, by reason.
    """
    parent = cast(DatasetVersion, dataset.parent)
    manifest = archives.unpack(parent, lease.progress_callback("fetch", parent.num_images))
    reviewed, counts = reviewed_images(parent.classes)
    on_progress = lease.progress_callback("add reviewed", len(reviewed))
    with (images / FINDINGS).open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["image", "group", *finding_labels.COLUMNS])
        for item in manifest.items:
            if not is_reviewed_image(item.path):
                _copy(manifest.file(item), images / item.path)
                if item.finding is not None:
                    table.writerow([item.path, item.group, *item.finding.row()])
        for number, image in enumerate(reviewed, start=1):
            target = images / image.path
            target.parent.mkdir(parents=True, exist_ok=True)
            with default_storage.open(str(image.radiograph.image)) as source, target.open("wb") as copy:
                shutil.copyfileobj(source, copy)
            table.writerow([image.path, image.group, *image.finding.row()])
            on_progress(number)
    return counts


def write_previous(dataset: DatasetVersion, table: Path) -> Path | None:
    """All images that were ever in a data set version, each on the side it was on last; None without any.

    A test image that one version lacks is still a test image when it comes back.
    """
    items: dict[str, Item] = {}
    earlier = DatasetVersion.objects.succeeded().filter(id__lt=dataset.pk).order_by("-id")
    for version in earlier:
        for item in archives.read_manifest(version).items:
            path, group = f"{version.pk}/{item.path}", f"{version.pk}-{item.group}"
            known = Item(path, item.sha256, item.width, item.height, item.label, group, item.split)
            items.setdefault(item.sha256, known)
    if not items:
        return None
    Manifest.of(table.parent, items.values()).write(table)
    return table


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
