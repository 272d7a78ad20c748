from __future__ import annotations

import hashlib
import re
import unicodedata
import uuid
from datetime import timedelta
from pathlib import PurePosixPath
from typing import Any, BinaryIO, cast

from django.conf import settings
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import UploadedFile
from django.db import transaction
from django.utils import timezone

from classifier import storage, tasks, trace
from classifier.errors import (
    ModelUnavailable,
    QuotaFull,
    StorageFull,
    TooManyUploads,
    UploadRefused,
    UploadTooLarge,
)
from classifier.models import ModelVersion, Prediction, Radiograph, User
from classifier.models.radiograph import image_path, thumbnail_path
from ml import images, quarantine

MAX_NAME = 200


def receive_radiograph(*, owner: User, upload: UploadedFile[Any]) -> Radiograph:
    """Keep an uploaded X-ray and ask the live model for its prediction.

    Files first, then both rows in one transaction, then the message. Whatever fails leaves nothing behind.

    Raises:
        UploadRefused, UploadTooLarge, TooManyUploads, QuotaFull, StorageFull, ModelUnavailable: with a sentence for
            the person.
    """
    _check_quota(owner)
    if upload.size is not None and upload.size > settings.UPLOAD_MAX_BYTES:
        raise UploadTooLarge(
            f"This file is too large: up to {settings.UPLOAD_MAX_BYTES // 1024**2} MB are accepted."
        )
    live = ModelVersion.objects.live()
    if live is None:
        raise ModelUnavailable()
    try:
        decoded = quarantine.read_image(cast(BinaryIO, upload.file))
    except images.ImageRefused as refused:
        raise UploadRefused(str(refused)) from refused

    radiograph = Radiograph(
        id=uuid.uuid4(),
        owner=owner,
        name=harmless_name(upload.name or ""),
        sha256=_sha256(upload),
        width=decoded.width,
        height=decoded.height,
    )
    image, thumbnail = image_path(radiograph), thumbnail_path(radiograph)
    try:
        radiograph.image = storage.keep(image, images.encode_png(decoded.pixels))
        radiograph.thumbnail = storage.keep(thumbnail, images.encode_thumbnail(decoded.pixels))
        with transaction.atomic():
            # One upload of a person after the other: each gets a turn of its own.
            User.objects.select_for_update(no_key=True).get(id=owner.id)
            turn = Prediction.objects.next_turn(owner)
            radiograph.save(force_insert=True)
            prediction = Prediction.objects.create(
                radiograph=radiograph, owner=owner, model_version=live, turn=turn, trace=trace.current.get()
            )
            tasks.send_on_commit(tasks.predict, prediction.id)
    except BaseException as error:
        default_storage.delete(image)
        default_storage.delete(thumbnail)
        if storage.is_storage_full(error):
            raise StorageFull() from error
        raise
    return radiograph


def _check_quota(owner: User) -> None:
    """Counts in an index. A limit of 0 is none, and nothing is counted: for who sends millions."""
    a_day, in_all = settings.UPLOADS_PER_DAY, settings.RADIOGRAPHS_PER_USER
    kept = Radiograph.objects.filter(owner=owner)
    if a_day and kept.filter(created_at__gte=timezone.now() - timedelta(days=1)).count() >= a_day:
        raise TooManyUploads(
            f"You have sent {a_day:,} X-rays within 24 hours, which is the most. Please go on later."
        )
    if in_all and kept.count() >= in_all:
        raise QuotaFull(
            f"You keep {in_all:,} X-rays, which is the most. "
            "Please delete some, and remove them from the trash."
        )


def harmless_name(name: str) -> str:
    """The file's own name, without folders and invisible characters, at most 200 characters long."""
    name = re.split(r"[/\\]", unicodedata.normalize("NFC", name))[-1]
    name = "".join(" " if unicodedata.category(letter)[0] in "CZ" else letter for letter in name)
    name = " ".join(name.split()).lstrip(". ")
    suffix = PurePosixPath(name).suffix[:10]
    if len(name) > MAX_NAME:
        name = name[: MAX_NAME - len(suffix)] + suffix
    return name or "X-ray"


def _sha256(upload: UploadedFile[Any]) -> str:
    upload.seek(0)
    digest = hashlib.sha256()
    for chunk in upload.chunks():
        digest.update(chunk)
    return digest.hexdigest()
