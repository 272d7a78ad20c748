"""All that the portal knows of a person, as one zip: what they may ask for, and take elsewhere."""

import io
import json
import zipfile
from collections.abc import Iterator
from typing import Any

from django.core.files.storage import default_storage
from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import Prefetch
from knox.models import AuthToken

from classifier.models import Notification, Prediction, Radiograph, Review, User

CHUNK = 1024**2
AT_ONCE = 500
RADIOGRAPH = ("id", "name", "sha256", "width", "height", "created_at", "deleted_at")
PREDICTION = (
    "id", "state", "class_name", "confidence", "probabilities", "prediction_set",
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
        for radiograph in _with_saliency(user):
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
    yield "radiographs.json", [_radiograph(row) for row in _with_what_was_said(user)]
    yield "reviews.json", list(Review.objects.filter(reviewer=user).values(*REVIEW))


def _with_what_was_said(user: User) -> Iterator[Radiograph]:
    """A person's X-rays with predictions and reviews, in a few queries for some hundreds of them."""
    own = Radiograph.objects.filter(owner=user).with_predictions().prefetch_related("reviews")
    yield from own.iterator(chunk_size=AT_ONCE)


def _with_saliency(user: User) -> Iterator[Radiograph]:
    pictures = Prediction.objects.filter(saliency__isnull=False).only("radiograph", "saliency")
    own = Radiograph.objects.filter(owner=user).order_by("created_at")
    yield from own.prefetch_related(Prefetch("predictions", pictures)).iterator(chunk_size=AT_ONCE)


def _radiograph(radiograph: Radiograph) -> dict[str, Any]:
    return {
        **{name: getattr(radiograph, name) for name in RADIOGRAPH},
        "predictions": [
            {
                **{name: getattr(one, name) for name in PREDICTION},
                "model_version__number": one.model_version.number,
            }
            for one in radiograph.predictions.all()
        ],
        "reviews": [{name: getattr(review, name) for name in REVIEW} for review in radiograph.reviews.all()],
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
    for prediction in radiograph.predictions.all():
        archive.writestr(f"saliency/{prediction.id}.png", bytes(prediction.saliency or b""))
        yield buffer.take()
