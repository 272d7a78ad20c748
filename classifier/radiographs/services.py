"""X-rays that are removed for good."""

from __future__ import annotations

import hashlib
import re
import unicodedata
import uuid
from collections.abc import Iterable
from datetime import timedelta
from functools import partial
from itertools import islice
from pathlib import PurePosixPath
from typing import Any, BinaryIO, cast

from django.conf import settings
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import UploadedFile
from django.db import transaction
from django.utils import timezone

from classifier.core import storage, trace
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
from classifier.core.models import AuditEntry, User, first_sweep
from classifier.core.queue import send_on_commit
from classifier.radiographs.models import (
    BACKGROUND,
    Prediction,
    PredictionBatch,
    Radiograph,
    image_path,
    thumbnail_path,
)
from classifier.radiographs.tasks import predict_next
from classifier.registry.models import ModelVersion
from ml.data import images, sandbox

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
        decoded = sandbox.read_image(cast(BinaryIO, upload.file))
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
            Prediction.objects.create(
                radiograph=radiograph, owner=owner, model_version=live, turn=turn, trace=trace.current.get()
            )
            send_on_commit(predict_next)
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


def retry_prediction(*, prediction: Prediction) -> None:
    """Ask again for an answer that failed."""
    with transaction.atomic():
        failed = Prediction.objects.filter(id=prediction.id, state=Prediction.State.FAILED)
        if not failed.update(
            state=Prediction.State.QUEUED,
            attempts=0,
            error="",
            finished_at=None,
            send_at=first_sweep(),
            turn=Prediction.objects.next_turn(prediction.radiograph.owner_id),
            trace=trace.current.get(),
        ):
            raise NotAllowedNow("Only a prediction that failed can be asked for again.")
        send_on_commit(predict_next)


MOST_AT_ONCE = 10_000
# Enough to wake the workers at once; the sweep sends the others.
SENT_AT_ONCE = 10


class SelectionRefused(CallusError):
    sentence = f"Please select between 1 and {MOST_AT_ONCE:,} X-rays."


def predict_again(*, user: User, radiographs: Iterable[Radiograph]) -> PredictionBatch:
    """Ask the live model about radiographs; its answers stand beside the earlier ones.

    Those that it answered before stay as they are, and those on which it failed are tried again.

    Raises:
        SelectionRefused, NotAllowedNow, ModelUnavailable: with a sentence for the person.
    """
    chosen = {radiograph.id: radiograph.owner_id for radiograph in radiographs}
    live = ModelVersion.objects.live()
    if live is None:
        raise ModelUnavailable()
    if not 0 < len(chosen) <= MOST_AT_ONCE:
        raise SelectionRefused()
    with transaction.atomic():
        known = Prediction.objects.filter(model_version=live, radiograph__in=chosen)
        failed = set(known.filter(state=Prediction.State.FAILED).values_list("radiograph_id", flat=True))
        asked = set(known.values_list("radiograph_id", flat=True)) - failed
        todo = {radiograph_id: owner for radiograph_id, owner in chosen.items() if radiograph_id not in asked}
        if not todo:
            raise NotAllowedNow(f"{live}, which is live, was asked about all of these already.")
        batch = PredictionBatch.objects.create(
            model_version=live, created_by=user, num_known=len(chosen) - len(todo)
        )
        # A failed one is made anew: nobody reviewed it.
        known.filter(radiograph__in=failed).delete()
        predictions = _make(todo, live, batch)
        earlier = Prediction.objects.filter(radiograph__in=todo, review_rank__isnull=False)
        earlier.exclude(review_rank=Prediction.ReviewRank.DISAGREEMENT).update(review_rank=None)
        AuditEntry.objects.record(
            actor=user, action="predicted again", about=live, batch=batch.pk, images=len(todo)
        )
        for _ in predictions[:SENT_AT_ONCE]:
            send_on_commit(predict_next)
    return batch


def _make(todo: dict[Any, Any], live: ModelVersion, batch: PredictionBatch) -> list[Prediction]:
    """Behind all uploads: their turns come last."""
    send_at = first_sweep()  # asked of the database once, not for each
    return Prediction.objects.bulk_create(
        Prediction(
            radiograph_id=radiograph_id,
            owner_id=owner_id,
            model_version=live,
            batch=batch,
            send_at=send_at,
            turn=BACKGROUND + number,
            trace=trace.current.get(),
        )
        for number, (radiograph_id, owner_id) in enumerate(todo.items())
    )


def trash_radiograph(*, radiograph: Radiograph) -> None:
    """Put an X-ray into its owner's trash, where nobody else sees it; after TRASH_DAYS it is removed for good."""
    Radiograph.objects.kept().filter(id=radiograph.id).update(deleted_at=timezone.now())


def restore_radiograph(*, radiograph: Radiograph) -> None:
    """Take it back out of the trash, with its answers and reviews."""
    Radiograph.objects.filter(id=radiograph.id).update(deleted_at=None)


AT_ONCE = 500


def remove_radiographs(radiographs: Iterable[Radiograph]) -> None:
    """Rows with predictions and reviews first, then files. A worker that holds one finds nothing to write to.

    A kill between rows and files leaves orphans, which the purge finds.
    """
    remaining = iter(radiographs)
    with transaction.atomic():
        while some := list(islice(remaining, AT_ONCE)):
            Radiograph.objects.filter(id__in=[radiograph.id for radiograph in some]).delete()
            for radiograph in some:
                for file in (radiograph.image, radiograph.thumbnail):
                    transaction.on_commit(partial(default_storage.delete, str(file)))


def delete_radiograph(*, radiograph: Radiograph) -> None:
    """Remove an X-ray for good, with its predictions, reviews and files."""
    remove_radiographs([radiograph])
