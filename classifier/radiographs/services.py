"""Receives X-rays, requests predictions, and moves X-rays to the trash or deletes them permanently."""

from __future__ import annotations

import hashlib
import re
import unicodedata
import uuid
from collections.abc import Iterable
from datetime import timedelta
from itertools import islice
from pathlib import PurePosixPath
from typing import Any, BinaryIO, cast

from django.conf import settings
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import UploadedFile
from django.db import transaction
from django.utils import timezone
from django.utils.datastructures import MultiValueDict

from classifier.core import storage, trace
from classifier.core.broker_messages import send_on_commit
from classifier.core.errors import (
    CallusError,
    ModelUnavailable,
    NotAllowedNow,
    QuotaFull,
    StorageFull,
    TooManyUploads,
    UploadRefused,
    UploadTooLarge,
)
from classifier.core.models import AuditEntry, User
from classifier.core.queued_work import first_resend_time
from classifier.radiographs.groups import keyed_hash
from classifier.radiographs.models import (
    BACKGROUND_TURN,
    Prediction,
    PredictionBatch,
    Radiograph,
    RadiographQuerySet,
    image_path,
    thumbnail_path,
)
from classifier.radiographs.tasks import predict_next
from classifier.registry.models import ModelVersion
from ml.data import images, sandbox

MAX_NAME = 200
DAY = timedelta(days=1)
VIEWED = "viewed"


def receive_radiograph(*, owner: User, upload: UploadedFile[Any]) -> Radiograph:
    """Stores an uploaded X-ray and requests a prediction from the live model.

    Writes the files, then both rows in one transaction, then sends the message. If any step fails, nothing is kept.

    Raises:
        UploadRefused, UploadTooLarge, TooManyUploads, QuotaFull, StorageFull, ModelUnavailable: with a message for
            the user.
    """
    _check_quota(owner)
    storage.check_reserve()
    if upload.size is not None and upload.size > settings.UPLOAD_MAX_BYTES:
        raise UploadTooLarge(
            f"This file is too large. The limit is {settings.UPLOAD_MAX_BYTES // 1024**2} MB."
        )
    live = ModelVersion.objects.live()
    if live is None:
        raise ModelUnavailable()
    try:
        decoded = sandbox.read_image(cast(BinaryIO, upload.file), find_text=True)
    except images.ImageRefused as refused:
        raise UploadRefused(str(refused)) from refused
    if decoded.shows_text and settings.REFUSE_TEXT_IN_IMAGES:
        raise UploadRefused(
            "Text seems to be drawn into the image, which may identify the patient. It was not stored. "
            "Please upload an image without text."
        )

    radiograph = Radiograph(
        id=uuid.uuid4(),
        owner=owner,
        _file_name=sanitized_name(upload.name or ""),
        sha256=_sha256(upload),
        width=decoded.width,
        height=decoded.height,
        shows_text=decoded.shows_text,
        patient_hash=keyed_hash("patient", decoded.patient_digest),
        study_hash=keyed_hash("study", decoded.study_digest),
    )
    image, thumbnail = image_path(radiograph), thumbnail_path(radiograph)
    try:
        radiograph.image = storage.save(image, images.encode_png(decoded.pixels))
        radiograph.thumbnail = storage.save(thumbnail, images.encode_thumbnail(decoded.pixels))
        with transaction.atomic():
            # Locks the user's row, so that concurrent uploads of one user get different turns.
            if not User.objects.select_for_update(no_key=True).filter(id=owner.id).first():
                raise AccountDeleted()
            # Again, because uploads at the same time have all passed the first check, which saves decoding the file.
            _check_quota(owner)
            turn = Prediction.objects.next_turn(owner)
            radiograph.save(force_insert=True)
            Prediction.objects.create(radiograph=radiograph, owner=owner, model_version=live, turn=turn)
            send_on_commit(predict_next)
    except BaseException as error:
        default_storage.delete(image)
        default_storage.delete(thumbnail)
        if storage.is_storage_full(error):
            raise StorageFull() from error
        raise
    return radiograph


def check_one_file(files: MultiValueDict[str, UploadedFile[Any]]) -> None:
    """Checks that a request that is answered with one radiograph has one file.

    Raises:
        UploadRefused: it has several; none is stored.
    """
    if sum(len(sent) for _, sent in files.lists()) > 1:
        raise UploadRefused("Send each file in a request of its own. Nothing was stored.")


def _check_quota(owner: User) -> None:
    """Checks the limits per day and in total. A limit of 0 means no limit and skips the count."""
    per_day, in_total = settings.UPLOADS_PER_DAY, settings.RADIOGRAPHS_PER_USER
    uploads = Radiograph.objects.filter(owner=owner)
    today = uploads.filter(created_at__gte=timezone.now() - DAY)
    if per_day and today.count() >= per_day:
        # One more is allowed when the oldest that counts is a day old.
        counted = today.newest_first().values_list("created_at", flat=True)[per_day - 1]
        raise TooManyUploads(
            f"You have reached the limit of {per_day:,} uploads in 24 hours. Try again tomorrow.",
            retry_after=(counted + DAY - timezone.now()).total_seconds(),
        )
    if in_total and uploads.count() >= in_total:
        raise QuotaFull(
            f"You have reached the limit of {in_total:,} stored X-rays. "
            "Delete some X-rays permanently from the trash, then try again."
        )


def sanitized_name(name: str) -> str:
    """Returns the file name without folders and invisible characters, shortened to 200 characters."""
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


def retry_prediction(*, prediction: Prediction) -> None:
    """Queues a failed prediction again.

    Raises:
        NotAllowedNow: the prediction has not failed.
    """
    with transaction.atomic():
        failed = Prediction.objects.filter(id=prediction.id, state=Prediction.State.FAILED)
        if not failed.update(
            state=Prediction.State.QUEUED,
            attempts=0,
            error="",
            finished_at=None,
            send_at=first_resend_time(),
            turn=Prediction.objects.next_turn(prediction.radiograph.owner_id),
            trace=trace.current_id(),
        ):
            raise NotAllowedNow("Only a failed prediction can be retried.")
        send_on_commit(predict_next)


MAX_SELECTION = 10_000
# Enough messages to wake the workers. The sweep sends the others.
MAX_WAKE_UPS = 10


class SelectionRefused(CallusError):
    """The selection is empty or too large."""

    message = f"Select between 1 and {MAX_SELECTION:,} X-rays."


def predict_again(*, user: User, radiographs: Iterable[Radiograph]) -> PredictionBatch:
    """Requests predictions from the live model in addition to earlier answers.

    Radiographs that the live model has already answered are skipped. Failed predictions are made again.

    Raises:
        SelectionRefused, NotAllowedNow, ModelUnavailable: with a message for the user.
    """
    ids = [radiograph.id for radiograph in radiographs]
    live = ModelVersion.objects.live()
    if live is None:
        raise ModelUnavailable()
    if not 0 < len(ids) <= MAX_SELECTION:
        raise SelectionRefused()
    with transaction.atomic():
        # Another request that asks for the same X-rays, or deletes them, waits or is waited for.
        locked = Radiograph.objects.filter(id__in=ids).select_for_update(no_key=True).order_by("id")
        owners = dict(locked.values_list("id", "owner_id"))
        chosen = {radiograph_id: owners[radiograph_id] for radiograph_id in ids if radiograph_id in owners}
        if not chosen:
            raise NotAllowedNow("These X-rays have been deleted.")
        known = Prediction.objects.filter(model_version=live, radiograph__in=chosen)
        failed = set(known.filter(state=Prediction.State.FAILED).values_list("radiograph_id", flat=True))
        answered = set(known.values_list("radiograph_id", flat=True)) - failed
        todo = {
            radiograph_id: owner for radiograph_id, owner in chosen.items() if radiograph_id not in answered
        }
        if not todo:
            raise NotAllowedNow(f"The live model ({live}) has already received all of these X-rays.")
        batch = PredictionBatch.objects.create(
            model_version=live, created_by=user, num_known=len(chosen) - len(todo)
        )
        # Failed predictions have no reviews, so they can be replaced.
        known.filter(radiograph__in=failed).delete()
        # The earlier answer stays on the worklist until the new one is written.
        predictions = _make(todo, live, batch)
        AuditEntry.objects.record(
            actor=user, action="predicted again", about=live, batch=batch.pk, images=len(todo)
        )
        for _ in predictions[:MAX_WAKE_UPS]:
            send_on_commit(predict_next)
    return batch


def _make(todo: dict[Any, Any], live: ModelVersion, batch: PredictionBatch) -> list[Prediction]:
    """Creates predictions whose turns come after those of all uploads."""
    send_at = first_resend_time()  # one query instead of one per row
    return Prediction.objects.bulk_create(
        Prediction(
            radiograph_id=radiograph_id,
            owner_id=owner_id,
            model_version=live,
            batch=batch,
            send_at=send_at,
            turn=BACKGROUND_TURN + number,
        )
        for number, (radiograph_id, owner_id) in enumerate(todo.items())
    )


class AccountDeleted(CallusError):
    """The user's account was deleted during the upload."""

    status = 401
    message = "This account has been deleted, so the X-ray was not stored."


def record_view(*, user: User, radiograph: Radiograph) -> None:
    """Records in the audit log, once a day, that somebody looked at another person's X-ray."""
    if radiograph.owner_id == user.id:
        return
    today = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)
    earlier = AuditEntry.objects.about(radiograph).filter(actor=user, action=VIEWED, created_at__gte=today)
    if not earlier.exists():
        owner = radiograph.owner.get_username()
        AuditEntry.objects.record(actor=user, action=VIEWED, about=radiograph, owner=owner)


def trash_radiograph(*, radiograph: Radiograph) -> None:
    """Moves an X-ray to its owner's trash. It is deleted permanently after TRASH_DAYS."""
    Radiograph.objects.not_in_trash().filter(id=radiograph.id).update(deleted_at=timezone.now())


def restore_radiograph(*, radiograph: Radiograph) -> None:
    """Restores an X-ray from the trash, with its answers and reviews.

    Raises:
        NotAllowedNow: it was deleted permanently in the meantime.
    """
    if not Radiograph.objects.filter(id=radiograph.id).update(deleted_at=None):
        raise NotAllowedNow("This X-ray has been deleted permanently and cannot be restored.")


BATCH_SIZE = 500


def delete_radiographs(radiographs: Iterable[Radiograph], *, among: RadiographQuerySet | None = None) -> int:
    """Deletes X-rays permanently, with their predictions, reviews and files.

    Rows first, then files: a worker that holds a prediction finds no row to write to, and if this process is killed
    in between, the purge finds the orphaned files.

    Args:
        radiographs: the X-rays.
        among: those that may be deleted, checked under a lock: an X-ray that its owner has restored since it was read
            stays. By default all.

    Returns:
        The number of deleted X-rays.
    """
    allowed = Radiograph.objects.all() if among is None else among
    number = 0
    remaining = iter(radiographs)
    with transaction.atomic():
        while batch := list(islice(remaining, BATCH_SIZE)):
            rows = allowed.filter(id__in=[radiograph.id for radiograph in batch])
            # In the order of those who change an answer: first the radiograph, then its predictions. Otherwise a
            # deletion and an answer could wait for each other.
            locked = set(rows.select_for_update().order_by("id").values_list("id", flat=True))
            Radiograph.objects.filter(id__in=locked).delete()
            number += len(locked)
            for radiograph in batch:
                if radiograph.id not in locked:
                    continue
                for file in (radiograph.image, radiograph.thumbnail):
                    storage.delete_on_commit(str(file))
    return number
