"""Radiographs, their predictions, and batches of repeated predictions."""

import uuid
from datetime import datetime
from typing import Any, Self

from django.conf import settings
from django.db import models, transaction
from django.db.models import Count, OuterRef, Q

from classifier.core import trace
from classifier.core.clock import database_now
from classifier.core.queued_work import QueuedWork
from classifier.radiographs.visibility import PredictionVisibilityQuerySet, RadiographVisibilityQuerySet
from classifier.registry.models import ModelVersion
from ml.classes import MAX_KINDS

IN_TRASH = models.Q(deleted_at__isnull=False)


def image_path(radiograph: "Radiograph", name: str = "") -> str:
    """Returns the path of the image in the storage."""
    return f"radiographs/{radiograph.id.hex[:2]}/{radiograph.id}.png"


def thumbnail_path(radiograph: "Radiograph", name: str = "") -> str:
    """Returns the path of the thumbnail in the storage."""
    return f"thumbnails/{radiograph.id.hex[:2]}/{radiograph.id}.jpg"


class RadiographQuerySet(RadiographVisibilityQuerySet["Radiograph"]):
    """Selects radiographs by search terms; the base class selects them by owner and visibility."""

    def newest_first(self) -> Self:
        return self.order_by("-created_at", "-id")

    def lock(self, radiograph_id: Any) -> bool:
        """Locks the radiograph's row until the transaction ends, and returns whether it still exists.

        Whoever changes the review rank of its answers locks it first. SQLite has only one writer at a time and needs
        no row locks.
        """
        return (
            self.select_for_update(no_key=True).filter(id=radiograph_id).values_list("id").first() is not None
        )

    def by_fracture_probability(self) -> Self:
        """Orders by the probability of a fracture in the newest prediction, highest first; those without come last."""
        newest = Prediction.objects.filter(radiograph=OuterRef("pk")).newest_first()
        probability = models.Subquery(newest.values("fracture_probability")[:1])
        highest_first = models.F("newest_probability").desc(nulls_last=True)
        return self.annotate(newest_probability=probability).order_by(highest_first, "-created_at", "-id")

    def search(
        self, user: Any, *, name: str = "", finding: str = "", class_name: str = "", state: str = ""
    ) -> Self:
        """Filters the user's own radiographs by name, and by the answer and state of their newest prediction."""
        found = self.owned_by(user)
        if name:
            found = found.filter(_file_name__icontains=name)
        wanted = {"finding": finding, "class_name": class_name, "state": state}
        if any(wanted.values()):
            answers = Prediction.objects.filter(**{field: value for field, value in wanted.items() if value})
            # Filtering by owner lets the database read all answers of the user once, from a single index.
            # Only the predictions that match are checked for a newer one.
            shown = answers.filter(owner=user).without_newer()
            found = found.filter(id__in=shown.values("radiograph"))
        return found

    def with_predictions(self) -> Self:
        """Prefetches the predictions, newest first, without large columns that lists do not show."""
        large = ("model_version__card", "model_version__report")
        newest_first = Prediction.objects.newest_first().select_related("model_version").defer(*large)
        return self.prefetch_related(models.Prefetch("predictions", queryset=newest_first))


class Radiograph(models.Model):
    """A row is one X-ray image that a user uploaded.

    The stored image is a PNG of the decoded pixels: upright, without EXIF data or DICOM headers.
    `sha256` is the checksum of the uploaded file.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    # db_index=False, because the index radiograph_own starts with this column.
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="radiographs", db_index=False
    )
    # May be a patient's name, which only the owner may see: use name_for(). Templates cannot read attributes that start
    # with an underscore.
    _file_name = models.CharField("file name", max_length=200, db_column="name")
    sha256 = models.CharField(max_length=64)
    width = models.PositiveIntegerField()
    height = models.PositiveIntegerField()
    # Whether text seems to be drawn into the image, which may name the patient.
    shows_text = models.BooleanField(db_default=False, default=False)
    # Keyed hashes of the Patient ID and the Study Instance UID of a DICOM file (groups.keyed_hash); None if it has
    # none, and for other files.
    patient_hash = models.CharField(max_length=64, null=True, editable=False)  # noqa: DJ001 - None is unknown
    study_hash = models.CharField(max_length=64, null=True, editable=False)  # noqa: DJ001 - None is unknown
    image = models.FileField(upload_to=image_path, max_length=200)
    thumbnail = models.FileField(upload_to=thumbnail_path, max_length=200)
    created_at = models.DateTimeField(auto_now_add=True)
    # When the owner moved it to the trash; None if it is not in the trash.
    deleted_at = models.DateTimeField(null=True, blank=True)

    objects = RadiographQuerySet.as_manager()

    class Meta:
        permissions = [("review_radiograph", "Can view and review the X-rays of all users")]
        indexes = [
            # Covers pages, counts and searches of a user's own X-rays, which read only this index.
            models.Index(
                fields=["owner", "-created_at", "-id", "deleted_at", "_file_name"], name="radiograph_own"
            ),
            # The list of all X-rays in the administration.
            models.Index(fields=["-created_at", "-id"], name="radiograph_newest"),
            # A user's trash, and the daily purge of all trash.
            models.Index(
                fields=["owner", "-deleted_at", "-id"], name="radiograph_own_trash", condition=IN_TRASH
            ),
            models.Index(fields=["deleted_at"], name="radiograph_trash", condition=IN_TRASH),
        ]

    def __str__(self) -> str:
        # Not the file name, which may contain a patient's name: the audit log stores this string permanently.
        return f"X-ray {str(self.id)[:8]}"

    def name_for(self, user: Any) -> str:
        """Returns the file name for the owner, and a neutral name for other users."""
        return self._file_name if user.pk == self.owner_id else str(self)

    @property
    def prediction(self) -> Any:
        """Returns the newest prediction. Runs no query after with_predictions()."""
        return next(iter(self.predictions.all()), None)


class PredictionBatch(models.Model):
    """A row is a request to predict a selection of radiographs again with the live model."""

    model_version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="+")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    # The number of selected radiographs that the live model had already answered.
    num_known = models.PositiveIntegerField(default=0)

    def __str__(self) -> str:
        return f"New predictions by {self.model_version}, {self.created_at:%Y-%m-%d %H:%M}"

    def progress(self) -> dict[str, int]:
        """Counts its predictions: total, done, failed and waiting."""
        counts: dict[str, int] = self.predictions.aggregate(
            total=Count("id"),
            done=Count("id", filter=Q(state="succeeded")),
            failed=Count("id", filter=Q(state="failed")),
        )
        return {**counts, "waiting": counts["total"] - counts["done"] - counts["failed"]}


# Turns of repeated predictions start here, so that new uploads are answered first.
BACKGROUND_TURN = 1_000_000_000


class PredictionQuerySet(PredictionVisibilityQuerySet["Prediction"]):
    """Selects predictions and claims them in turn."""

    def without_newer(self) -> Self:
        """Filters the newest prediction of each radiograph, in any state, as newest_first() orders them."""
        # One index lookup for each row. For NOT EXISTS, PostgreSQL may read the predictions of all users.
        newest = Prediction.objects.filter(radiograph=OuterRef("radiograph")).newest_first()
        return self.filter(id=models.Subquery(newest.values("id")[:1]))

    def worklist(self, finding: str = "") -> Self:
        """Filters predictions to review: doubtful findings, then disagreements, then the others.

        Within each, the highest probability of a fracture comes first.
        """
        to_review = self.filter(radiograph__deleted_at=None, review_rank__isnull=False)
        if finding:
            to_review = to_review.filter(finding=finding)
        return to_review.order_by("review_rank", "review_order", "id")

    def next_turn(self, owner: Any) -> int:
        """Returns the turn of the user's next upload: one after their last waiting upload, or else the current turn.

        A user's uploads are answered in order, so the newest one shows whether any is waiting. Call this before
        saving the new radiograph.
        """
        newest = Radiograph.objects.filter(owner=owner).newest_first().values_list("id", flat=True).first()
        for state, turn in self.filter(radiograph=newest).values_list("state", "turn"):
            if state == "queued" and turn < BACKGROUND_TURN:
                return turn + 1
        queued = self.filter(state="queued").order_by("turn", "created_at")
        current = queued.values_list("turn", flat=True).first()
        return 0 if current is None or current >= BACKGROUND_TURN else current

    def claim_next(self, lease_until: datetime | None = None) -> "Prediction | None":
        """Give the caller the prediction whose turn it is, or None when none waits.

        SKIP LOCKED lets several workers claim at once: each skips rows that another is claiming. SQLite has only one
        writer at a time and needs no row locks.
        """
        with transaction.atomic():
            claimable = self.claimable(database_now()).select_for_update(skip_locked=True, no_key=True)
            abandoned = claimable.filter(state="running").order_by("lease_until")
            queued = claimable.filter(state="queued").order_by("turn", "created_at")
            for candidates in (abandoned, queued):
                if prediction_id := candidates.values_list("id", flat=True).first():
                    return self.claim(prediction_id, lease_until)
        return None


class Prediction(QueuedWork):
    """A row is one model version's answer for one radiograph.

    States: queued -> running -> succeeded | failed. A running prediction is claimed again when its lease expires.
    Temporary errors are retried in the same way. Succeeded is final; failed returns to queued when the user retries.

    Fair order: a message in the broker only wakes a worker, which then claims the prediction with the lowest `turn`.
    A user's first waiting upload gets the current turn, their next one the turn after it, and so on. Each round answers
    one upload per user, so a thousand uploads of one user delay another user by one answer only. There are as many
    messages as predictions, and the sweep replaces lost messages.
    """

    class State(models.TextChoices):
        QUEUED = "queued", "waiting"
        RUNNING = "running", "running"
        SUCCEEDED = "succeeded", "done"
        FAILED = "failed", "failed"

    class Finding(models.TextChoices):
        FRACTURE_SEEN = "fracture_seen", "fracture seen"
        DOUBTFUL = "doubtful", "doubtful"
        NO_FRACTURE_SEEN = "no_fracture_seen", "no fracture seen"
        NOT_RECOGNIZED = "not_recognized", "not recognized"

    class ReviewRank(models.IntegerChoices):
        """Why an answer is on the worklist. The lowest value comes first."""

        DOUBTFUL = 0, "doubtful"
        DISAGREEMENT = 1, "reviewers disagree"
        UNREVIEWED = 2, "not reviewed yet"

    queue = "predict"
    given_up = "Callus could not finish this image in three attempts. You can try again."

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    # db_index=False, because the index of the constraint below starts with this column.
    radiograph = models.ForeignKey(
        Radiograph, on_delete=models.CASCADE, related_name="predictions", db_index=False
    )
    # Copy of the radiograph's owner, which never changes, so that a search needs only one index.
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+", db_index=False
    )
    model_version = models.ForeignKey(
        ModelVersion, on_delete=models.PROTECT, related_name="predictions", db_index=False
    )
    state = models.CharField(max_length=10, choices=State.choices, default=State.QUEUED)
    # Set if the prediction belongs to a batch of repeated predictions.
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

    # Empty until succeeded, and if the model version answers the kind of fracture only.
    finding = models.CharField(max_length=20, blank=True, choices=Finding.choices)
    # None without a finding.
    fracture_probability = models.FloatField(null=True)
    # False if the image resembles X-rays of other sources, for which the probability is not calibrated.
    calibrated = models.BooleanField(null=True)
    # [{"x": ..., "y": ..., "width": ..., "height": ..., "score": ...}] in pixels of the image, best first
    marks = models.JSONField(default=list)
    body_part = models.CharField(max_length=20, blank=True)

    # The kind of fracture. Empty if the finding is "no fracture seen" or "not recognized".
    class_name = models.CharField(max_length=100, blank=True)
    confidence = models.FloatField(null=True)
    # [{"class": ..., "probability": ...}], highest first
    probabilities = models.JSONField(default=list)
    prediction_set = models.JSONField(default=list)
    abstained = models.BooleanField(null=True)
    in_distribution = models.BooleanField(null=True)
    # Set on the newest answer of a radiograph that should be reviewed, else None. Radiograph.objects.lock() first.
    review_rank = models.PositiveSmallIntegerField(null=True, choices=ReviewRank.choices)
    # Ascending within a rank: 1 - fracture_probability, or the confidence where there is no finding. Set on each
    # answer, because reviewers may disagree on it later.
    review_order = models.FloatField(null=True)

    objects = PredictionQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["radiograph", "model_version"], name="one_prediction_per_model_version"
            ),
        ]
        indexes = [
            # The sweep reads only unfinished rows, so its cost does not grow with the history.
            models.Index(
                fields=["send_at"], name="prediction_unfinished", condition=Q(state__in=["queued", "running"])
            ),
            # Each claim reads the next waiting row and the rows whose lease has expired.
            models.Index(
                fields=["turn", "created_at"], name="prediction_waiting", condition=Q(state="queued")
            ),
            models.Index(fields=["lease_until"], name="prediction_running", condition=Q(state="running")),
            # Metrics count recently finished rows.
            models.Index(
                fields=["finished_at"], name="prediction_done", condition=Q(finished_at__isnull=False)
            ),
            # A user's search by class and state, and by finding.
            models.Index(fields=["owner", "class_name", "state", "radiograph"], name="prediction_search"),
            models.Index(fields=["owner", "finding", "radiograph"], name="prediction_finding"),
            models.Index(fields=["batch"], name="prediction_batch", condition=Q(batch__isnull=False)),
            models.Index(
                fields=["review_rank", "review_order", "id"],
                name="prediction_worklist",
                condition=Q(review_rank__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.radiograph_id}: {self.finding or self.class_name or self.state}"

    @property
    def is_recognized(self) -> bool:
        """Whether the model gives an answer: the image resembles the X-rays that it was trained on."""
        return self.finding != self.Finding.NOT_RECOGNIZED if self.finding else bool(self.in_distribution)

    @property
    def kinds(self) -> list[dict[str, Any]]:
        """The most probable kinds as in `probabilities`, at most three. Empty if no kind is named."""
        return self.probabilities[:MAX_KINDS] if self.in_distribution else []

    @property
    def is_kind_uncertain(self) -> bool | None:
        """Whether more kinds than are listed are needed to contain the true one in 9 of 10 X-rays.

        None if no kind is asked for: the prediction is not finished, or no fracture is seen.
        """
        unasked = (self.Finding.NO_FRACTURE_SEEN, self.Finding.NOT_RECOGNIZED)
        if self.state != self.State.SUCCEEDED or self.finding in unasked:
            return None
        return not self.in_distribution or len(self.prediction_set) > MAX_KINDS
