from datetime import timedelta

from django.conf import settings
from django.db import models
from django.db.models import F

from classifier.core.models import MAX_ATTEMPTS, AuditEntry, Notification, QueuedWork, QueuedWorkQuerySet
from classifier.core.notifications import notify
from classifier.datasets.models import DatasetVersion
from classifier.registry.models import ModelVersion, Promotion

MAX_EPOCHS = 500
MAX_BATCH_SIZE = 512
MAX_SEED = 2**31 - 1


class TrainingRunQuerySet(QueuedWorkQuerySet["TrainingRun"]):
    attempts_allowed = F("last_attempt")


class TrainingRun(QueuedWork):
    """One execution of `python -m ml train` with one recipe on one data set version; its id is its number.

    queued -> running -> succeeded | failed | canceled. It waits until its data set version is ready. A run whose
    worker dies goes on from its last epoch. Attempts count since the last progress: each epoch moves `last_attempt`.
    """

    class Start(models.TextChoices):
        PRETRAINED = "pretrained", "the pretrained network"
        LIVE = "live", "the live model"
        SHIPPED = "shipped", "the model shipped with Callus"
        SCRATCH = "scratch", "nothing (from scratch)"

    queue = "train"

    dataset_version = models.ForeignKey(DatasetVersion, on_delete=models.PROTECT, related_name="runs")
    recipe = models.CharField(max_length=50)
    start = models.CharField(max_length=10, choices=Start.choices)
    # What "live" or "shipped" was when the run was asked for.
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
    # One entry an epoch: {"phase": "train", "epoch": 1, "metrics": {"loss": ..., "val_loss": ..., ...}}
    history = models.JSONField(default=list)
    log_tail = models.TextField(blank=True)
    # What it made, or the known model that the same data, recipe and seed gave again, bit for bit.
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
    def model_version(self) -> ModelVersion | None:
        """The version that it made, or made again."""
        return self.trained_version or self.same_as

    @property
    def is_canceling(self) -> bool:
        return self.cancel_requested_at is not None and not self.is_finished

    @property
    def duration(self) -> timedelta | None:
        return self.finished_at - self.started_at if self.finished_at and self.started_at else None

    @property
    def curves(self) -> dict[str, dict[str, list[list[float]]]]:
        """By phase ("train", "fold 1", ...) and metric (loss, val_loss, ...): [epoch, value] for each epoch."""
        curves: dict[str, dict[str, list[list[float]]]] = {}
        for entry in self.history:
            for name, value in entry["metrics"].items():
                curves.setdefault(entry["phase"], {}).setdefault(name, []).append([entry["epoch"], value])
        return curves


class ComparisonQuerySet(QueuedWorkQuerySet["Comparison"]):
    def newest_of(self, candidate: ModelVersion, live: ModelVersion) -> "Comparison | None":
        return self.filter(candidate=candidate, live=live).order_by("-id").first()


class Comparison(QueuedWork):
    """A candidate beside the version that was live, both on the same frozen test images, image by image."""

    class Verdict(models.TextChoices):
        BETTER = "better", "better beyond chance"
        SAME = "same", "no difference beyond chance"
        WORSE = "worse", "worse beyond chance"

    queue = "train"

    # The promotions that the gate allowed, or objected to, because of it.
    promotions = models.ManyToManyField(Promotion, related_name="comparisons")
    candidate = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="comparisons")
    live = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="+")
    dataset_version = models.ForeignKey(DatasetVersion, on_delete=models.PROTECT, related_name="comparisons")
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    phase = models.CharField(max_length=40, blank=True)
    step = models.PositiveIntegerField(default=0)
    steps = models.PositiveIntegerField(default=0)
    # Of the test images that both were measured on.
    test_checksum = models.CharField(max_length=64, blank=True)
    num_images = models.PositiveIntegerField(default=0)
    # Test images left out because one of the two learned from them.
    num_left_out = models.PositiveIntegerField(default=0)
    # False when nobody can tell which images one of the two learned from.
    is_origin_known = models.BooleanField(default=True)
    verdict = models.CharField(max_length=10, choices=Verdict.choices, blank=True)
    # What `python -m ml compare --json` printed: a is the live model, b the candidate.
    result = models.JSONField(default=dict)

    objects = ComparisonQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{self.candidate} beside {self.live}"

    def conclude(self, state: str, error: str = "") -> None:
        self.report(f"{self}: the comparison failed. {error}")

    def report(self, outcome: str) -> None:
        """Record how it ended, and notify the person who asked for it."""
        AuditEntry.objects.record(actor=None, action="compared", about=self, outcome=outcome)
        notify(self.created_by, outcome, Notification.Subject.COMPARISON, self.pk)


MAX_REVIEWS = 1_000_000


class RetrainingSchedule(models.Model):
    """When Callus starts a training run by itself; one row. It never promotes."""

    class Mode(models.TextChoices):
        OFF = "off", "never"
        MONTHLY = "monthly", "each month, if there are new reviews"
        AFTER_REVIEWS = "after_reviews", "after a number of new reviews"

    mode = models.CharField(max_length=20, choices=Mode.choices, default=Mode.OFF)
    num_reviews = models.PositiveIntegerField(default=100)
    recipe = models.CharField(max_length=50, blank=True)
    # Who is told of its runs.
    set_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    # Reviews count from the last one that a scheduled run knew; months from `last_at`.
    last_at = models.DateTimeField(null=True)
    last_review_id = models.PositiveBigIntegerField(default=0)
    last_outcome = models.CharField(max_length=300, blank=True)

    class Meta:
        constraints = [models.CheckConstraint(condition=models.Q(id=1), name="one_schedule")]

    def __str__(self) -> str:
        return f"Retrain {self.get_mode_display()}"

    @classmethod
    def get(cls) -> "RetrainingSchedule":
        """The one schedule there is."""
        return cls.objects.get_or_create(id=1)[0]
