"""Training runs, comparisons, recalibrations and the retraining schedule."""

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import F

from classifier.core.models import AuditEntry, Notification
from classifier.core.notifications import notify
from classifier.core.queued_work import MAX_ATTEMPTS, QueuedWork, QueuedWorkQuerySet
from classifier.datasets.models import DatasetVersion
from classifier.registry.models import ModelVersion, Promotion
from classifier.training.finding_figures import FINDING_FIGURES, BeforeAndAfter, before_and_after
from ml.evaluate.non_inferiority import Judgement
from ml.networks.finding_recipes import RETRAINING_RECIPES

MAX_EPOCHS = 500
MAX_BATCH_SIZE = 512
MAX_SEED = 2**31 - 1


UNFINISHED = models.Q(state__in=("queued", "running"))


class TrainingRunQuerySet(QueuedWorkQuerySet["TrainingRun"]):
    """Selects and claims training runs."""

    attempts_allowed = F("last_attempt")


class TrainingRun(QueuedWork):
    """A row is one run of `python -m ml train` or `train-finding` on a data set version. Its id is its number.

    The recipe says which part of the answer the run trains: the kind of fracture, or the finding.

    States: queued -> running -> succeeded | failed | canceled. It waits until its data set version is ready. If its
    worker dies, it resumes from the last completed epoch. Attempts are counted since the last progress: each epoch
    raises `last_attempt`.
    """

    class Start(models.TextChoices):
        PRETRAINED = "pretrained", "the pretrained network"
        LIVE = "live", "the live model"
        SHIPPED = "shipped", "the model shipped with Callus"
        SCRATCH = "scratch", "random weights (from scratch)"

    queue = "train"

    dataset_version = models.ForeignKey(DatasetVersion, on_delete=models.PROTECT, related_name="runs")
    recipe = models.CharField(max_length=50)
    start = models.CharField(max_length=10, choices=Start.choices)
    # The version that "live" or "shipped" meant when the run was requested.
    start_version = models.ForeignKey(ModelVersion, null=True, on_delete=models.PROTECT, related_name="+")
    epochs_asked = models.PositiveSmallIntegerField(null=True)
    batch_size = models.PositiveSmallIntegerField(null=True)
    seed = models.PositiveIntegerField(default=0)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    last_attempt = models.PositiveSmallIntegerField(default=MAX_ATTEMPTS)
    cancel_requested_at = models.DateTimeField(null=True)
    canceled_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )

    phase = models.CharField(max_length=40, blank=True)
    epoch = models.PositiveSmallIntegerField(default=0)
    epochs = models.PositiveSmallIntegerField(default=0)
    step = models.PositiveIntegerField(default=0)
    steps = models.PositiveIntegerField(default=0)
    seconds_left = models.FloatField(null=True)
    # One entry per epoch: {"phase": "train", "epoch": 1, "metrics": {"loss": ..., "val_loss": ..., ...}}
    history = models.JSONField(default=list)
    log_tail = models.TextField(blank=True)
    # The version that the run created, or the existing version that is identical to its result.
    trained_version = models.OneToOneField(
        ModelVersion, null=True, on_delete=models.PROTECT, related_name="training_run"
    )
    same_as = models.ForeignKey(ModelVersion, null=True, on_delete=models.PROTECT, related_name="+")

    objects = TrainingRunQuerySet.as_manager()

    def __str__(self) -> str:
        return f"Training run {self.pk}"

    def conclude(self, state: str, error: str = "") -> None:
        if state == self.State.CANCELED:
            AuditEntry.objects.record(actor=None, action="training stopped", about=self)
            return
        AuditEntry.objects.record(actor=None, action="training failed", about=self, error=error)
        self.notify_creator(f"{self} failed. {error}")

    def notify_creator(self, text: str) -> None:
        notify(self.created_by, text, Notification.Subject.TRAINING_RUN, self.pk)

    @property
    def trains_finding(self) -> bool:
        """Returns whether the run trains the finding. Otherwise it trains the kind of fracture."""
        return self.recipe in RETRAINING_RECIPES

    @property
    def model_version(self) -> ModelVersion | None:
        """Returns the version that the run created or reproduced, or None."""
        return self.trained_version or self.same_as

    @property
    def is_canceling(self) -> bool:
        """Returns whether a user requested to cancel the unfinished run."""
        return self.cancel_requested_at is not None and not self.is_finished

    @property
    def duration(self) -> timedelta | None:
        """Returns the time from start to finish, or None while unfinished."""
        return self.finished_at - self.started_at if self.finished_at and self.started_at else None

    @property
    def curves(self) -> dict[str, dict[str, list[list[float]]]]:
        """Returns [epoch, value] pairs by phase ("train", "fold 1", ...) and metric (loss, val_loss, ...)."""
        curves: dict[str, dict[str, list[list[float]]]] = {}
        for entry in self.history:
            for name, value in entry["metrics"].items():
                curves.setdefault(entry["phase"], {}).setdefault(name, []).append([entry["epoch"], value])
        return curves


class ComparisonQuerySet(QueuedWorkQuerySet["Comparison"]):
    """Selects comparisons."""

    def newest_of(self, candidate: ModelVersion, live: ModelVersion) -> "Comparison | None":
        """Returns the newest comparison of these two versions, or None."""
        return self.filter(candidate=candidate, live=live).order_by("-id").first()


class Comparison(QueuedWork):
    """A row is a paired comparison of a candidate with the live version on the same frozen test images.

    Each part of the answer is compared by itself: the kind of fracture, and the finding. A part that is the same in
    both versions is not compared.
    """

    class Verdict(models.TextChoices):
        """The verdicts of ml.evaluate.non_inferiority."""

        BETTER = "better", "significantly better"
        NOT_INFERIOR = "not inferior", "not worse by more than the margin"
        INCONCLUSIVE = "inconclusive", "not shown to be within the margin"
        WORSE = "worse", "significantly worse"
        GUESSING = "guessing", "no better than guessing"
        TOO_FEW = "too few", "too few test images to say"

    queue = "train"

    # The promotions that the gate decided on the basis of this comparison.
    promotions = models.ManyToManyField(Promotion, related_name="comparisons")
    candidate = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="comparisons")
    live = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="+")
    # The largest frozen test set that both can be judged on; None until a worker has chosen it.
    dataset_version = models.ForeignKey(
        DatasetVersion, null=True, on_delete=models.PROTECT, related_name="comparisons"
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    phase = models.CharField(max_length=40, blank=True)
    step = models.PositiveIntegerField(default=0)
    steps = models.PositiveIntegerField(default=0)
    # Checksum of the test images of both models.
    test_checksum = models.CharField(max_length=64, blank=True)
    num_images = models.PositiveIntegerField(default=0)
    # Number of test images excluded because one of the two models was trained on them.
    num_left_out = models.PositiveIntegerField(default=0)
    # False if the training images of one of the two models are unknown.
    is_origin_known = models.BooleanField(default=True)
    verdict = models.CharField(max_length=20, choices=Verdict.choices, blank=True)
    # Output of `python -m ml compare --json`: a is the live model, b the candidate. Empty if the kind is the same.
    result = models.JSONField(default=dict)
    # Output of `python -m ml compare-finding`: before is the live model, after the candidate, and "dataset_version" has
    # the test X-rays; or {"error": sentence} if the findings could not be compared. Empty if the finding is the same.
    finding = models.JSONField(default=dict)

    objects = ComparisonQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["candidate", "live"], condition=UNFINISHED, name="one_unfinished_comparison"
            )
        ]

    def __str__(self) -> str:
        return f"{self.candidate} compared with {self.live}"

    @property
    def finding_figures(self) -> list[BeforeAndAfter]:
        """Lists the figures of the two findings on the test X-rays; empty if they were not compared."""
        return before_and_after(self.finding, *(name for name, *_ in FINDING_FIGURES))

    @property
    def kind_judgement(self) -> Judgement | None:
        """Returns the judgement on the kind of fracture; None if it was not compared."""
        return Judgement.from_json(self.result["judgement"]) if self.result else None

    @property
    def finding_judgement(self) -> Judgement | None:
        """Returns the judgement on the finding; None if it was not compared."""
        return Judgement.from_json(self.finding["judgement"]) if self.finding_figures else None

    def sentence_on(self, judgement: Judgement) -> str:
        """Returns the verdict with its figures, and how large a difference could be seen."""
        return judgement.sentence(str(self.live), str(self.candidate))

    @property
    def outcome(self) -> str:
        """Returns the outcome for each compared part in words."""
        judged = (("Kind of fracture", self.kind_judgement), ("Finding", self.finding_judgement))
        parts = [f"{part}: {self.sentence_on(judgement)}" for part, judgement in judged if judgement]
        if self.finding and not self.finding_figures:
            parts.append("Finding: it could not be compared.")
        return " ".join(parts)

    def conclude(self, state: str, error: str = "") -> None:
        self.report(f"{self}: the comparison failed. {error}")

    def report(self, outcome: str) -> None:
        """Record how it ended, and notify the person who asked for it."""
        AuditEntry.objects.record(actor=None, action="compared", about=self, outcome=outcome)
        notify(self.created_by, outcome, Notification.Subject.COMPARISON, self.pk)


class RecalibrationQuerySet(QueuedWorkQuerySet["Recalibration"]):
    """Selects recalibrations."""

    def newest_of(self, candidate: ModelVersion, live: ModelVersion) -> "Recalibration | None":
        """Returns the newest recalibration that made the candidate from the live version, or None."""
        return self.filter(made_version=candidate, start_version=live).order_by("-id").first()

    def between(self, new: dict[str, Any], old: dict[str, Any]) -> "Recalibration | None":
        """Returns the newest recalibration that made the one finding from the other, or None. Both are cards.

        The versions may be others than those that it started from and made: a trained version has the finding of the
        version that was live.
        """
        done = self.filter(made_version__isnull=False).select_related("start_version", "made_version")
        for recalibration in done.order_by("-id").iterator(chunk_size=20):
            start, made = recalibration.start_version, recalibration.made_version
            if made and (start.card.get("finding"), made.card.get("finding")) == (old, new):
                return recalibration
        return None


class Recalibration(QueuedWork):
    """A row is one run of `python -m ml recalibrate` on the reviewed radiographs of the portal.

    It makes a model version with the same networks as `start_version`, and another calibration of the finding.
    """

    queue = "train"

    # The version that was live when it was requested.
    start_version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="+")
    # The version that it created, or the existing version that is identical to its result: `start_version` if no
    # weight and no threshold changed.
    made_version = models.ForeignKey(
        ModelVersion, null=True, on_delete=models.PROTECT, related_name="recalibrations"
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    phase = models.CharField(max_length=40, blank=True)
    step = models.PositiveIntegerField(default=0)
    steps = models.PositiveIntegerField(default=0)
    # The figures before and after: "recalibrated" under "figures" in the card of the new version's finding.
    result = models.JSONField(default=dict)

    objects = RecalibrationQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["start_version"], condition=UNFINISHED, name="one_unfinished_recalibration"
            )
        ]

    def __str__(self) -> str:
        return f"Recalibration {self.pk}"

    @property
    def changed_nothing(self) -> bool:
        """Returns whether the result has the weights and thresholds of the version that it started from."""
        return self.made_version_id is not None and self.made_version_id == self.start_version_id

    def conclude(self, state: str, error: str = "") -> None:
        AuditEntry.objects.record(actor=None, action="recalibration failed", about=self, error=error)
        self.notify_creator(f"{self} failed. {error}")

    def notify_creator(self, text: str) -> None:
        notify(self.created_by, text, Notification.Subject.RECALIBRATION, self.pk)

    @property
    def figures(self) -> list[BeforeAndAfter]:
        """Lists the figures before and after; empty while there is no result."""
        return before_and_after(self.result, "calibration_error", "missed", "false_alarms")


MAX_REVIEWS = 1_000_000


class RetrainingSchedule(models.Model):
    """The only row states when Callus starts a training run automatically. It never promotes a model."""

    class Mode(models.TextChoices):
        OFF = "off", "never"
        MONTHLY = "monthly", "every month, if there are new reviews"
        AFTER_REVIEWS = "after_reviews", "after a number of new reviews"

    mode = models.CharField(max_length=20, choices=Mode.choices, default=Mode.OFF)
    num_reviews = models.PositiveIntegerField(default=100)
    recipe = models.CharField(max_length=50, blank=True)
    # The user who is notified of its runs.
    set_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    # Reviews are counted after `last_review_id`, months from `last_at`.
    last_at = models.DateTimeField(null=True)
    last_review_id = models.PositiveBigIntegerField(default=0)
    last_outcome = models.CharField(max_length=300, blank=True)

    class Meta:
        constraints = [models.CheckConstraint(condition=models.Q(id=1), name="one_schedule")]

    def __str__(self) -> str:
        return f"Retrain {self.get_mode_display()}"

    @classmethod
    def get(cls) -> "RetrainingSchedule":
        """Returns the schedule, created with the defaults if needed."""
        return cls.objects.get_or_create(id=1)[0]
