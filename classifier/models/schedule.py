from django.conf import settings
from django.db import models

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
