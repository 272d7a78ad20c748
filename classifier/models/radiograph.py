import uuid
from typing import Any, Self

from django.conf import settings
from django.db import models

from classifier.permissions import REVIEW

IN_TRASH = models.Q(deleted_at__isnull=False)


def image_path(radiograph: "Radiograph", name: str = "") -> str:
    return f"radiographs/{radiograph.id.hex[:2]}/{radiograph.id}.png"


def thumbnail_path(radiograph: "Radiograph", name: str = "") -> str:
    return f"thumbnails/{radiograph.id.hex[:2]}/{radiograph.id}.jpg"


def may_see_all(user: Any) -> bool:
    return bool(user.is_authenticated and user.has_perm(REVIEW))


class RadiographQuerySet(models.QuerySet["Radiograph"]):
    def kept(self) -> Self:
        """What is not in the trash."""
        return self.filter(deleted_at=None)

    def visible_to(self, user: Any) -> Self:
        """What this user may see: their own, and for a reviewer all; nothing that is in the trash."""
        return self.kept() if may_see_all(user) else self.owned_by(user)

    def owned_by(self, user: Any) -> Self:
        """What this user sent; only they may delete it."""
        return self.kept().filter(owner=user) if user.is_authenticated else self.none()

    def one_for(self, user: Any, radiograph_id: uuid.UUID) -> "Radiograph | None":
        """The one with this id, unless this user may not see it.

        What somebody may do is looked up for what is not their own alone. Nearly all is: a page of the history asks
        for two dozen pictures.
        """
        found = self.kept().filter(id=radiograph_id).first()
        return found if found and (found.owner_id == user.pk or may_see_all(user)) else None

    def in_trash_of(self, user: Any) -> Self:
        """What this user deleted and may still restore; the last one first."""
        trash = self.filter(owner=user, deleted_at__isnull=False) if user.is_authenticated else self.none()
        return trash.order_by("-deleted_at", "-id")

    def newest_first(self) -> Self:
        return self.order_by("-created_at", "-id")

    def found_by(self, user: Any, *, name: str = "", class_name: str = "", state: str = "") -> Self:
        """What of this user's own fits a search; class and state are those of one of its predictions."""
        found = self.owned_by(user)
        if name:
            found = found.filter(name__icontains=name)
        if class_name or state:
            from classifier.models.prediction import Prediction

            wanted = {"class_name": class_name, "state": state}
            answers = Prediction.objects.filter(**{field: value for field, value in wanted.items() if value})
            # By their owner, not by radiograph: the database then reads all of them once, in one index.
            found = found.filter(id__in=answers.filter(owner=user).values("radiograph"))
        return found

    def with_predictions(self) -> Self:
        """Each with its predictions, newest first; without what is long and not shown in lists."""
        from classifier.models.prediction import Prediction

        long = ("saliency", "model_version__card", "model_version__report")
        newest_first = Prediction.objects.newest_first().select_related("model_version").defer(*long)
        with_has_saliency = newest_first.annotate(has_saliency=models.Q(saliency__isnull=False))
        return self.prefetch_related(models.Prefetch("predictions", queryset=with_has_saliency))


class Radiograph(models.Model):
    """One X-ray image that a user sent.

    The stored image is the decoded picture as PNG: upright, and free of EXIF and DICOM headers.
    `sha256` is that of the file as it was sent.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    # No index of its own: radiograph_own begins with it.
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="radiographs", db_index=False
    )
    name = models.CharField(max_length=200)
    sha256 = models.CharField(max_length=64)
    width = models.PositiveIntegerField()
    height = models.PositiveIntegerField()
    image = models.FileField(upload_to=image_path, max_length=200)
    thumbnail = models.FileField(upload_to=thumbnail_path, max_length=200)
    created_at = models.DateTimeField(auto_now_add=True)
    # In the trash since then; only its owner finds it there, until it is gone for good.
    deleted_at = models.DateTimeField(null=True, blank=True)

    objects = RadiographQuerySet.as_manager()

    class Meta:
        permissions = [("review_radiograph", "Can see and review everybody's X-rays")]
        indexes = [
            # All that pages, counts and searches of a person's own X-rays ask for: they read it alone.
            models.Index(fields=["owner", "-created_at", "-id", "deleted_at", "name"], name="radiograph_own"),
            # Everybody's, in the administration.
            models.Index(fields=["-created_at", "-id"], name="radiograph_newest"),
            # A person's trash; and what the purge finds in everybody's.
            models.Index(
                fields=["owner", "-deleted_at", "-id"], name="radiograph_own_trash", condition=IN_TRASH
            ),
            models.Index(fields=["deleted_at"], name="radiograph_trash", condition=IN_TRASH),
        ]

    def __str__(self) -> str:
        # Not the file name, which may be a patient's: this stands in the audit log, which is kept.
        return f"X-ray {str(self.id)[:8]}"

    def name_for(self, user: Any) -> str:
        """The file name, to its owner alone."""
        return self.name if user.pk == self.owner_id else str(self)

    @property
    def prediction(self) -> Any:
        """The newest prediction; free of queries after with_predictions()."""
        return next(iter(self.predictions.all()), None)
