from datetime import timedelta

from django.conf import settings
from django.db import models
from django.db.models import F

from .dataset import DatasetVersion
from .model_version import ModelVersion
from .queued_work import MAX_ATTEMPTS, QueuedWork, QueuedWorkQuerySet

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
    # When the same data, recipe and seed gave a model that is known already, bit for bit.
    same_as = models.ForeignKey(ModelVersion, null=True, on_delete=models.PROTECT, related_name="+")

    objects = TrainingRunQuerySet.as_manager()

    def __str__(self) -> str:
        return f"Training run {self.pk}"

    @property
    def model_version(self) -> ModelVersion | None:
        """What came out of it."""
        return ModelVersion.objects.filter(training_run=self).first() or self.same_as

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
