"""All that the portal knows of a person, as one zip: what they may ask for, and take elsewhere."""

import io
import json
import zipfile
from collections.abc import Iterator
from typing import Any

from django.contrib.auth.models import Group, Permission
from django.core.files.storage import default_storage
from django.core.serializers.json import DjangoJSONEncoder
from django.db import transaction
from django.db.models import Prefetch, ProtectedError
from knox.models import AuthToken

from classifier.core.errors import NotAllowedNow
from classifier.core.models import AuditEntry, Notification, User
from classifier.core.permissions import DEFAULT_GROUPS
from classifier.radiographs.models import Prediction, Radiograph
from classifier.radiographs.services import delete_radiographs
from classifier.reviews.models import Review


def delete_account(*, user: User) -> None:
    """Remove a person with all that is theirs, at once and for good.

    Gone: the account, tokens, sessions, second factors; their X-rays, those in the trash too, with files, answers and
    reviews. Kept: what they said of other people's X-rays, without their name; images of data set versions that were
    made before, since such a version never changes; and the audit log, which names who did what.

    Raises:
        NotAllowedNow: the portal would be without an admin, or its record of who promoted which model would break.
    """
    admins = User.objects.filter(is_superuser=True, is_active=True)
    if user.is_superuser and not admins.exclude(id=user.id).exists():
        raise NotAllowedNow("You are the only admin. Make somebody else an admin first.")
    try:
        with transaction.atomic():
            AuditEntry.objects.record(actor=user, action="deleted their account", about=user)
            delete_radiographs(Radiograph.objects.filter(owner=user))
            user.delete()
    except ProtectedError:
        raise NotAllowedNow(
            "You decided which model is live, and that stays on record. "
            "Please ask an admin to deactivate your account instead."
        ) from None


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


def create_default_groups() -> None:
    """Make the groups that hold the permissions of the retraining loop. Safe to call at each start.

    A group that exists stays as its admin made it.
    """
    for name, permissions in DEFAULT_GROUPS.items():
        with transaction.atomic():
            group, is_new = Group.objects.get_or_create(name=name)
            if is_new:
                group.permissions.set(permission_named(permission) for permission in permissions)


def permission_named(name: str) -> Permission:
    """The permission with a name such as "registry.view_model"."""
    app_label, _, codename = name.partition(".")
    return Permission.objects.get(content_type__app_label=app_label, codename=codename)
