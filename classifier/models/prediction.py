import uuid
from datetime import datetime
from typing import Any, Self

from django.conf import settings
from django.db import models, transaction
from django.db.models import Q

from classifier.clock import database_now

from .queued_work import QueuedWork, QueuedWorkQuerySet
from .radiograph import Radiograph, may_see_all

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

    def claim_fairest(self, lease_until: datetime) -> "Prediction | None":
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

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    # No index of its own: that of the constraint below begins with it.
    radiograph = models.ForeignKey(
        Radiograph, on_delete=models.CASCADE, related_name="predictions", db_index=False
    )
    # The radiograph's, which never changes: a search reads one index for all answers of a person. Empty only in
    # rows that the release before this one makes while the tables change, until the next purge.
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.CASCADE, related_name="+", db_index=False
    )
    model_version = models.ForeignKey(
        "ModelVersion", on_delete=models.PROTECT, related_name="predictions", db_index=False
    )
    state = models.CharField(max_length=10, choices=State.choices, default=State.QUEUED)
    # Set when it came of "predict again" for a selection.
    batch = models.ForeignKey(
        "PredictionBatch",
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="predictions",
        db_index=False,
    )

    # db_default: the release before this one makes rows without it while the tables change.
    turn = models.PositiveIntegerField(default=0, db_default=0)
    # The id that the logs share from the request to the answer.
    trace = models.CharField(max_length=64, blank=True, default="", db_default="")

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
