"""Creates API tokens, deletes accounts, exports a user's data and creates the default groups."""

import io
import json
import zipfile
from collections.abc import Iterator
from typing import Any

from django.contrib.auth.models import Group, Permission
from django.core.files.storage import default_storage
from django.core.serializers.json import DjangoJSONEncoder
from django.db import transaction
from django.db.models import ProtectedError
from django.utils import timezone
from knox.models import AuthToken

from classifier.core.api.authentication import usable_tokens
from classifier.core.errors import NotAllowedNow
from classifier.core.models import AuditEntry, Notification, User
from classifier.core.permissions import DEFAULT_GROUPS
from classifier.radiographs.models import Radiograph, RadiographQuerySet
from classifier.radiographs.services import delete_radiographs
from classifier.reviews.models import Review

# A program that signs in once an hour, instead of keeping its token, stays below it.
MAX_TOKENS = 1000


def issue_token(*, user: User) -> str:
    """Creates an API token, of which only a hash is stored, and deletes the user's expired ones.

    Raises:
        NotAllowedNow: the user has MAX_TOKENS tokens, or was deleted.
    """
    with transaction.atomic():
        # Requests at the same moment wait for each other, so that they count each other's tokens.
        if not User.objects.select_for_update(no_key=True).filter(id=user.pk).first():
            raise NotAllowedNow("This account has been deleted, so no token was created.")
        AuthToken.objects.filter(user=user, expiry__lt=timezone.now()).delete()
        if usable_tokens().filter(user=user).count() >= MAX_TOKENS:
            raise NotAllowedNow(
                f"You have reached the limit of {MAX_TOKENS:,} API tokens, so no token was created. "
                "Revoke one under Account, then try again."
            )
        _, token = AuthToken.objects.create(user=user)
    return str(token)


def delete_account(*, user: User) -> None:
    """Deletes a user's account and data immediately and permanently.

    Deletes the account, tokens, sessions and two-factor authentication, and all X-rays (including those in the trash)
    with files, answers and reviews. Keeps the user's latest review of each X-ray of other people, without the name;
    images in existing data set versions, which never change; and the audit log, which includes the name.

    Raises:
        NotAllowedNow: the user is the only admin, or has promoted a model.
    """
    try:
        with transaction.atomic():
            # Uploads lock the user too. One that is stored after the X-rays are deleted would leave its files behind.
            if not User.objects.select_for_update(no_key=True).filter(id=user.id).first():
                return
            _check_another_admin_stays(user)
            AuditEntry.objects.record(actor=user, action="deleted their account", about=user)
            delete_radiographs(Radiograph.objects.filter(owner=user))
            # The page promises this. Of what stays, only the name is removed.
            Review.objects.filter(reviewer=user, is_superseded=True).delete()
            user.delete()
    except ProtectedError:
        raise NotAllowedNow(
            "You have promoted a model, and that record must be kept, so your account was not deleted. "
            "Ask an admin to deactivate your account instead."
        ) from None


def _check_another_admin_stays(user: User) -> None:
    if not user.is_superuser:
        return
    User.objects.lock_admins()
    if not User.objects.filter(is_superuser=True, is_active=True).exclude(id=user.id).exists():
        raise NotAllowedNow(
            "You are the only admin, so your account was not deleted. Make another user an admin first."
        )


CHUNK_BYTES = 1024**2
BATCH_SIZE = 500
RADIOGRAPH_FIELDS = ("id", "sha256", "width", "height", "shows_text", "created_at", "deleted_at")

PREDICTION_FIELDS = (
    "id", "state", "finding", "fracture_probability", "calibrated", "marks", "body_part", "class_name", "confidence",
    "probabilities", "prediction_set", "abstained", "in_distribution", "created_at", "started_at",
    "finished_at", "error",
)  # fmt: skip

REVIEW_FIELDS = (
    "id", "radiograph_id", "finding", "class_name", "boxes", "comment", "is_adjudication", "is_superseded",
    "created_at",
)  # fmt: skip


def export_account(*, user: User) -> Iterator[bytes]:
    """Yields a zip with all data of a user in chunks, so that memory use does not grow with the number of images.

    The zip contains account.json, radiographs.json (with predictions and their reviews), reviews.json (reviews by this
    user) and images/ID.png. X-rays in the trash are included.
    """
    buffer = _ZipBuffer()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in _json_files(user):
            archive.writestr(name, json.dumps(content, indent=1, cls=DjangoJSONEncoder), zipfile.ZIP_DEFLATED)
            yield buffer.drain()
        for radiograph in _in_batches(Radiograph.objects.filter(owner=user).order_by("created_at")):
            yield from _image_files(archive, buffer, radiograph)
    yield buffer.drain()


def _in_batches(radiographs: RadiographQuerySet) -> Iterator[Radiograph]:
    """Yields the radiographs without an open cursor, because the web server makes each chunk in some thread."""
    ids = list(radiographs.values_list("id", flat=True))
    for start in range(0, len(ids), BATCH_SIZE):
        yield from list(radiographs.filter(id__in=ids[start : start + BATCH_SIZE]))


class _ZipBuffer(io.RawIOBase):
    """Collects what zipfile writes until drain() is called. Not seekable, so zipfile writes strictly forward."""

    def __init__(self) -> None:
        self.chunks: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, chunk: Any) -> int:
        self.chunks.append(bytes(chunk))
        return len(chunk)

    def drain(self) -> bytes:
        """Removes and returns what was written since the last call."""
        content = b"".join(self.chunks)
        self.chunks.clear()
        return content


def _json_files(user: User) -> Iterator[tuple[str, Any]]:
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
            "notifications": list(
                Notification.objects.for_user(user).values("text", "created_at", "read_at")
            ),
        },
    )
    yield "radiographs.json", [_radiograph(row, user) for row in _with_reviews(user)]
    yield "reviews.json", list(Review.objects.filter(reviewer=user).values(*REVIEW_FIELDS))


def _with_reviews(user: User) -> Iterator[Radiograph]:
    """Yields the user's X-rays with predictions and reviews, loaded in batches."""
    own = Radiograph.objects.filter(owner=user).with_predictions().prefetch_related("reviews")
    yield from own.iterator(chunk_size=BATCH_SIZE)


def _radiograph(radiograph: Radiograph, user: User) -> dict[str, Any]:
    return {
        "name": radiograph.name_for(user),
        **{name: getattr(radiograph, name) for name in RADIOGRAPH_FIELDS},
        "predictions": [
            {
                **{name: getattr(one, name) for name in PREDICTION_FIELDS},
                "model_version__number": one.model_version.number,
            }
            for one in radiograph.predictions.all()
        ],
        "reviews": [
            {name: getattr(review, name) for name in REVIEW_FIELDS} for review in radiograph.reviews.all()
        ],
    }


def _image_files(archive: zipfile.ZipFile, buffer: _ZipBuffer, radiograph: Radiograph) -> Iterator[bytes]:
    try:
        image = default_storage.open(str(radiograph.image))
    except FileNotFoundError:
        return  # deleted since the query
    with image, archive.open(f"images/{radiograph.id}.png", "w") as entry:
        for chunk in image.chunks(CHUNK_BYTES):
            entry.write(chunk)
            yield buffer.drain()


def create_default_groups() -> None:
    """Creates the default groups with their permissions.

    Existing groups are not changed, so this can run at each start.
    """
    for name, permissions in DEFAULT_GROUPS.items():
        with transaction.atomic():
            group, is_new = Group.objects.get_or_create(name=name)
            if is_new:
                group.permissions.set(permission_named(permission) for permission in permissions)


def permission_named(name: str) -> Permission:
    """Returns the permission with a name such as "registry.view_model"."""
    app_label, _, codename = name.partition(".")
    return Permission.objects.get(content_type__app_label=app_label, codename=codename)
