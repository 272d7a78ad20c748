from django.conf import settings
from django.db import models
from django.db.models import Count, Q

from .model_version import ModelVersion


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
