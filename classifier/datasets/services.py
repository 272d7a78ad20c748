"""Requests new data set versions."""

from __future__ import annotations

import uuid
from typing import Any, BinaryIO, cast

from django.conf import settings
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import UploadedFile
from django.db import transaction

from classifier.core import storage
from classifier.core.broker_messages import send_on_commit
from classifier.core.errors import NotAllowedNow, StorageFull, UploadRefused, UploadTooLarge
from classifier.core.models import AuditEntry, User
from classifier.datasets import zip_intake
from classifier.datasets.models import DatasetVersion
from classifier.datasets.tasks import build_dataset
from classifier.datasets.zip_checks import ZipRefused
from classifier.radiographs.services import sanitized_name
from classifier.registry.models import ModelVersion
from classifier.reviews.models import Review


def request_dataset_from_zip(
    *, user: User, upload: UploadedFile[Any], new_classes: bool = False, note: str = ""
) -> DatasetVersion:
    """Stores a zip of class folders, which a worker then audits.

    Checks the zip's table of contents first, and stores nothing if it is refused.

    Args:
        new_classes: whether the classes may differ from those of the newest version.

    Raises:
        UploadRefused, UploadTooLarge, StorageFull: with a message for the user.
    """
    storage.check_reserve()
    if upload.size is not None and upload.size > settings.DATASET_MAX_BYTES:
        raise UploadTooLarge(
            f"This zip is too large. The limit is {settings.DATASET_MAX_BYTES // 1024**2} MB."
        )
    try:
        contents = zip_intake.read_contents(cast(BinaryIO, upload.file))
        if not new_classes:
            zip_intake.check_classes(contents.classes, expected_classes())
    except ZipRefused as refused:
        raise UploadRefused(str(refused)) from refused
    path = f"datasets/uploads/{uuid.uuid4()}.zip"
    upload.seek(0)
    storage.save(path, upload)
    try:
        with transaction.atomic():
            dataset = DatasetVersion.objects.create(
                source=DatasetVersion.Source.ZIP,
                parent=DatasetVersion.objects.newest(),
                upload=path,
                upload_name=sanitized_name(upload.name or ""),
                new_classes=new_classes,
                note=note.strip(),
                created_by=user,
            )
            AuditEntry.objects.record(
                actor=user, action="data set requested", about=dataset, upload=dataset.upload_name
            )
            send_on_commit(build_dataset, dataset.pk)
    except BaseException as error:
        default_storage.delete(path)
        if storage.is_storage_full(error):
            raise StorageFull() from error
        raise
    return dataset


def request_dataset_from_reviews(*, user: User, parent: DatasetVersion, note: str = "") -> DatasetVersion:
    """Requests a version with the images of `parent` and the reviewed radiographs that may be used for training.

    Raises:
        NotAllowedNow: with a message for the user.
    """
    if parent.state != DatasetVersion.State.SUCCEEDED:
        raise NotAllowedNow(
            f"{parent} is not ready yet. Wait until it is finished, or choose another data set."
        )
    if not Review.objects.filter(radiograph__owner__site__allows_training=True).exists():
        raise NotAllowedNow("There are no reviewed X-rays from a site that allows training.")
    with transaction.atomic():
        dataset = DatasetVersion.objects.create(
            source=DatasetVersion.Source.REVIEWS, parent=parent, note=note.strip(), created_by=user
        )
        AuditEntry.objects.record(actor=user, action="data set requested", about=dataset, parent=parent.pk)
        send_on_commit(build_dataset, dataset.pk)
    return dataset


def expected_classes() -> list[str]:
    """Lists the classes of the newest data set version that has some, or of the live model if there is none."""
    live = ModelVersion.objects.live()
    return DatasetVersion.objects.newest_classes() or (live.classes if live is not None else [])
