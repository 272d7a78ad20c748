from django.conf import settings
from django.db import models

from .dataset import DatasetVersion
from .model_version import ModelVersion
from .queued_work import QueuedWork, QueuedWorkQuerySet


class ComparisonQuerySet(QueuedWorkQuerySet["Comparison"]):
    def newest_of(self, candidate: ModelVersion, live: ModelVersion) -> "Comparison | None":
        return self.filter(candidate=candidate, live=live).order_by("-id").first()


class Comparison(QueuedWork):
    """A candidate beside the version that was live, both on the same frozen test images, image by image."""

    class Verdict(models.TextChoices):
        BETTER = "better", "better beyond chance"
        SAME = "same", "no difference beyond chance"
        WORSE = "worse", "worse beyond chance"

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
