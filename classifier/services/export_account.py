"""All that the portal knows of a person, as one zip: what they may ask for, and take elsewhere."""

import io
import json
import zipfile
from collections.abc import Iterator
from typing import Any

from django.core.files.storage import default_storage
from django.core.serializers.json import DjangoJSONEncoder
from knox.models import AuthToken

from classifier.models import Notification, Prediction, Radiograph, Review, User

CHUNK = 1024**2
PREDICTION = (
    "id", "model_version__number", "state", "class_name", "confidence", "probabilities", "prediction_set",
    "abstained", "in_distribution", "created_at", "started_at", "finished_at", "error",
)  # fmt: skip
REVIEW = ("id", "radiograph_id", "verdict", "class_name", "comment", "created_at")


def export_account(*, user: User) -> Iterator[bytes]:
    """The zip, piece by piece, so that any number of pictures takes little memory.

    account.json, radiographs.json (with predictions, and what reviewers said), reviews.json (what this person said),
    images/ID.png and saliency/ID.png. X-rays in the trash are among them.
    """
    buffer = _Pieces()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in _facts(user):
            archive.writestr(name, json.dumps(content, indent=1, cls=DjangoJSONEncoder), zipfile.ZIP_DEFLATED)
            yield buffer.take()
        for radiograph in Radiograph.objects.filter(owner=user).order_by("created_at").iterator():
            yield from _pictures(archive, buffer, radiograph)
    yield buffer.take()


class _Pieces(io.RawIOBase):
    """What zipfile wrote since the last take(); it cannot seek back, so zipfile does not try."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, piece: Any) -> int:
        self.pieces.append(bytes(piece))
        return len(piece)

    def take(self) -> bytes:
        taken = b"".join(self.pieces)
        self.pieces.clear()
        return taken


def _facts(user: User) -> Iterator[tuple[str, Any]]:
    yield (
        "account.json",
        {
            "username": user.username,
            "email": user.email,
            "first_name": user.first_name,
            "last_name": user.last_name,
            "site": str(user.site or ""),
            "joined": user.date_joined,
            "last_login": user.last_login,
            "tokens": list(AuthToken.objects.filter(user=user).values("created", "expiry")),
            "notifications": list(Notification.objects.of(user).values("text", "created_at", "read_at")),
        },
    )
    yield "radiographs.json", [_radiograph(row) for row in Radiograph.objects.filter(owner=user)]
    yield "reviews.json", list(Review.objects.filter(reviewer=user).values(*REVIEW))


def _radiograph(radiograph: Radiograph) -> dict[str, Any]:
    fields = ("id", "name", "sha256", "width", "height", "created_at", "deleted_at")
    return {
        **{name: getattr(radiograph, name) for name in fields},
        "predictions": list(Prediction.objects.filter(radiograph=radiograph).values(*PREDICTION)),
        "reviews": list(Review.objects.filter(radiograph=radiograph).values(*REVIEW)),
    }


def _pictures(archive: zipfile.ZipFile, buffer: _Pieces, radiograph: Radiograph) -> Iterator[bytes]:
    try:
        image = default_storage.open(str(radiograph.image))
    except FileNotFoundError:
        return  # deleted in the meantime
    with image, archive.open(f"images/{radiograph.id}.png", "w") as entry:
        for chunk in image.chunks(CHUNK):
            entry.write(chunk)
            yield buffer.take()
    for prediction in radiograph.predictions.filter(saliency__isnull=False):
        archive.writestr(f"saliency/{prediction.id}.png", bytes(prediction.saliency or b""))
        yield buffer.take()
