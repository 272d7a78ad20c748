import uuid
from typing import Any, Self

from django.conf import settings
from django.db import models

from classifier.permissions import REVIEW


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

    def in_trash_of(self, user: Any) -> Self:
        """What this user deleted and may still restore; the last one first."""
        trash = self.filter(owner=user, deleted_at__isnull=False) if user.is_authenticated else self.none()
        return trash.order_by("-deleted_at", "-id")

    def newest_first(self) -> Self:
        return self.order_by("-created_at", "-id")

    def matching(self, *, name: str = "", class_name: str = "", state: str = "") -> Self:
        found = self
        if name:
            found = found.filter(name__icontains=name)
        if class_name or state:
            answers = {"class_name": class_name, "state": state}
            wanted = {f"predictions__{field}": value for field, value in answers.items() if value}
            found = found.filter(**wanted).distinct()
        return found

    def with_predictions(self) -> Self:
        """Each with its predictions, newest first; without the saliency pictures, which lists do not show."""
        from classifier.models.prediction import Prediction

        newest_first = Prediction.objects.newest_first().defer("saliency").select_related("model_version")
        with_has_saliency = newest_first.annotate(has_saliency=models.Q(saliency__isnull=False))
        return self.prefetch_related(models.Prefetch("predictions", queryset=with_has_saliency))


class Radiograph(models.Model):
    """One X-ray image that a user sent.

    The stored image is the decoded picture as PNG: upright, and free of EXIF and DICOM headers.
    `sha256` is that of the file as it was sent.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="radiographs")
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
            models.Index(fields=["owner", "-created_at", "-id"], name="radiograph_history"),
            models.Index(
                fields=["deleted_at"], name="radiograph_trash", condition=models.Q(deleted_at__isnull=False)
            ),
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
