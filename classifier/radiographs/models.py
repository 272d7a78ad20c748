import uuid
from datetime import datetime
from typing import Any, Self

from django.conf import settings
from django.db import models, transaction
from django.db.models import Count, Q

from classifier.core import trace
from classifier.core.clock import database_now
from classifier.core.models import QueuedWork, QueuedWorkQuerySet
from classifier.core.permissions import REVIEW
from classifier.registry.models import ModelVersion

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
            wanted = {"class_name": class_name, "state": state}
            answers = Prediction.objects.filter(**{field: value for field, value in wanted.items() if value})
            # By their owner, not by radiograph: the database then reads all of them once, in one index.
            found = found.filter(id__in=answers.filter(owner=user).values("radiograph"))
        return found

    def with_predictions(self) -> Self:
        """Each with its predictions, newest first; without what is long and not shown in lists."""
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


class PredictionBatch(models.Model):
    """A selection of radiographs that the live model was asked about again."""

    model_version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="+")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    # Those of the selection that the live model had answered before.
    num_known = models.PositiveIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.model_version} asked again on {self.created_at:%Y-%m-%d %H:%M}"

    def progress(self) -> dict[str, int]:
        """How many predictions it has, and how many of them are done, failed, and waiting."""
        counts: dict[str, int] = self.predictions.aggregate(
            total=Count("id"),
            done=Count("id", filter=Q(state="succeeded")),
            failed=Count("id", filter=Q(state="failed")),
        )
        return {**counts, "waiting": counts["total"] - counts["done"] - counts["failed"]}


# Turns of "predict again": whoever uploads now comes first.
BACKGROUND = 1_000_000_000


class PredictionQuerySet(QueuedWorkQuerySet["Prediction"]):
    def visible_to(self, user: Any) -> Self:
        if may_see_all(user):
            return self.filter(radiograph__deleted_at=None)
        return self.filter(radiograph__in=Radiograph.objects.visible_to(user))

    def one_for(self, user: Any, prediction_id: uuid.UUID) -> "Prediction | None":
        """The one with this id, unless this user may not see it; see RadiographQuerySet.one_for."""
        found = (
            self.select_related("radiograph").filter(radiograph__deleted_at=None, id=prediction_id).first()
        )
        return found if found and (found.radiograph.owner_id == user.pk or may_see_all(user)) else None

    def worklist(self) -> Self:
        """What is most worth a review: unsure answers, then disagreements, then the least sure of the others."""
        kept = self.filter(radiograph__deleted_at=None)
        return kept.filter(review_rank__isnull=False).order_by("review_rank", "confidence", "id")

    def next_turn(self, owner: Any) -> int:
        """The turn of one more upload of this person: behind their own, beside those of the others.

        Their own come in order, so the newest tells whether any waits. To be asked before the new one is saved.
        """
        newest = Radiograph.objects.filter(owner=owner).newest_first().values_list("id", flat=True).first()
        for state, turn in self.filter(radiograph=newest).values_list("state", "turn"):
            if state == "queued" and turn < BACKGROUND:
                return turn + 1
        queued = self.filter(state="queued").order_by("turn", "created_at")
        served = queued.values_list("turn", flat=True).first()
        return 0 if served is None or served >= BACKGROUND else served

    def claim_fairest(self, lease_until: datetime | None = None) -> "Prediction | None":
        """Give the caller the prediction whose turn it is, or None when none waits.

        Any number of workers may ask at once: each looks past those that the others are about to claim, instead of
        waiting for them in vain. SQLite has one writer at a time, so nobody is in the way.
        """
        with transaction.atomic():
            claimable = self.claimable(database_now()).select_for_update(skip_locked=True, no_key=True)
            abandoned = claimable.filter(state="running").order_by("lease_until")
            queued = claimable.filter(state="queued").order_by("turn", "created_at")
            for some in (abandoned, queued):
                if prediction_id := some.values_list("id", flat=True).first():
                    return self.claim(prediction_id, lease_until)
        return None


class Prediction(QueuedWork):
    """One model version's answer for one radiograph.

    queued -> running -> succeeded | failed. A running one is claimed anew when its lease runs out, which is also
    how a temporary error is tried again. Succeeded is final; failed returns to queued when the user asks again.

    Who is next: a message in the broker wakes a worker, and the worker takes the prediction whose `turn` is lowest,
    not the one the message was sent for. A person's first waiting upload gets the turn that is being served, their
    next one the turn after it, and so on: each round serves everybody once, so a thousand uploads of one person hold
    up another's one by one answer. There are as many messages as predictions, and the sweep replaces lost ones, so
    each is answered; two workers that want the same one are told apart by the claim, as ever.
    """

    class State(models.TextChoices):
        QUEUED = "queued", "waiting"
        RUNNING = "running", "running"
        SUCCEEDED = "succeeded", "done"
        FAILED = "failed", "failed"

    class ReviewRank(models.IntegerChoices):
        """Why an answer is on the worklist; the lowest comes first."""

        UNSURE = 0, "unsure"
        DISAGREEMENT = 1, "reviewers disagree"
        UNREVIEWED = 2, "not reviewed yet"

    queue = "predict"
    given_up = "Callus could not finish this image in three attempts. You can try again."

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    # No index of its own: that of the constraint below begins with it.
    radiograph = models.ForeignKey(
        Radiograph, on_delete=models.CASCADE, related_name="predictions", db_index=False
    )
    # The radiograph's owner, which never changes: a search reads one index for all answers of a person.
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+", db_index=False
    )
    model_version = models.ForeignKey(
        ModelVersion, on_delete=models.PROTECT, related_name="predictions", db_index=False
    )
    state = models.CharField(max_length=10, choices=State.choices, default=State.QUEUED)
    # Set when it came of "predict again" for a selection.
    batch = models.ForeignKey(
        PredictionBatch,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="predictions",
        db_index=False,
    )

    turn = models.PositiveIntegerField(default=0)
    trace = models.CharField(max_length=64, blank=True, default=trace.current_id)

    class_name = models.CharField(max_length=100, blank=True)
    confidence = models.FloatField(null=True)
    # [{"class": ..., "probability": ...}], highest first
    probabilities = models.JSONField(default=list)
    prediction_set = models.JSONField(default=list)
    abstained = models.BooleanField(null=True)
    in_distribution = models.BooleanField(null=True)
    # A grey PNG of the picture's proportions, bright where the class evidence lies; small enough for the row.
    saliency = models.BinaryField(null=True)
    # On the newest answer for a radiograph that is worth a review; empty otherwise.
    review_rank = models.PositiveSmallIntegerField(null=True, choices=ReviewRank.choices)

    objects = PredictionQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["radiograph", "model_version"], name="one_prediction_per_model_version"
            ),
        ]
        indexes = [
            # The sweep reads only what is unfinished, however long the history grows.
            models.Index(
                fields=["send_at"], name="prediction_unfinished", condition=Q(state__in=["queued", "running"])
            ),
            # The worker's questions, at each claim: who is next, and what did a dead worker leave?
            models.Index(
                fields=["turn", "created_at"], name="prediction_waiting", condition=Q(state="queued")
            ),
            models.Index(fields=["lease_until"], name="prediction_running", condition=Q(state="running")),
            # What finished lately, for the metrics.
            models.Index(
                fields=["finished_at"], name="prediction_done", condition=Q(finished_at__isnull=False)
            ),
            # A person's search by class and state.
            models.Index(fields=["owner", "class_name", "state", "radiograph"], name="prediction_search"),
            models.Index(fields=["batch"], name="prediction_batch", condition=Q(batch__isnull=False)),
            models.Index(
                fields=["review_rank", "confidence", "id"],
                name="prediction_worklist",
                condition=Q(review_rank__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.radiograph_id}: {self.class_name or self.state}"
