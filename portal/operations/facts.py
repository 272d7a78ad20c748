"""Statistics from the database for the metrics and the status page."""

from dataclasses import dataclass
from datetime import timedelta

from django.db.models import Avg, Count, ExpressionWrapper, F, Min, Q
from django.db.models import DurationField as Span
from django.utils import timezone

from classifier.radiographs.models import Prediction
from classifier.registry.models import ModelVersion

WINDOW = timedelta(minutes=5)
FAILURES_WINDOW = timedelta(days=1)
BUCKETS_SECONDS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 60.0)


@dataclass(frozen=True)
class Waiting:
    """The number and the age of the oldest of the unfinished predictions in one state."""

    state: str
    number: int
    oldest: timedelta


@dataclass(frozen=True)
class Recent:
    """Statistics of the predictions that finished within WINDOW."""

    succeeded: int
    failed: int
    retried: int
    attempts: int
    took: timedelta
    # The number of predictions that took at most this many seconds from claim to answer.
    at_most: dict[float, int]

    @property
    def finished(self) -> int:
        """Returns the number of finished predictions."""
        return self.succeeded + self.failed

    @property
    def mean(self) -> timedelta | None:
        """Returns the mean time from claim to answer, or None without predictions."""
        return self.took / self.finished if self.finished else None


def unfinished() -> list[Waiting]:
    """Returns statistics of queued and running predictions."""
    now = timezone.now()
    rows = (
        Prediction.objects.filter(state__in=["queued", "running"])
        .values("state")
        .annotate(number=Count("id"), oldest=Min("created_at"))
    )
    found = {row["state"]: row for row in rows}
    return [
        Waiting(
            state,
            found[state]["number"] if state in found else 0,
            now - found[state]["oldest"] if state in found else timedelta(),
        )
        for state in ("queued", "running")
    ]


def recent() -> Recent:
    """Returns statistics of recently finished predictions."""
    took = ExpressionWrapper(F("finished_at") - F("started_at"), output_field=Span())
    at_most = {
        f"bucket_{number}": Count("id", filter=Q(took__lte=timedelta(seconds=seconds)))
        for number, seconds in enumerate(BUCKETS_SECONDS)
    }
    finished = Prediction.objects.filter(finished_at__gte=timezone.now() - WINDOW, started_at__isnull=False)
    found = finished.annotate(took=took).aggregate(
        succeeded=Count("id", filter=Q(state="succeeded")),
        failed=Count("id", filter=Q(state="failed")),
        retried=Count("id", filter=Q(attempts__gt=1)),
        mean_attempts=Avg("attempts"),
        mean=Avg("took"),
        **at_most,
    )
    number = found["succeeded"] + found["failed"]
    return Recent(
        succeeded=found["succeeded"],
        failed=found["failed"],
        retried=found["retried"],
        attempts=round((found["mean_attempts"] or 0) * number),
        took=(found["mean"] or timedelta()) * number,
        at_most={seconds: found[f"bucket_{i}"] for i, seconds in enumerate(BUCKETS_SECONDS)},
    )


def failures() -> list[tuple[str, int]]:
    """Returns the error messages of the last 24 hours with their number, the most frequent first."""
    failed = Prediction.objects.filter(state="failed", finished_at__gte=timezone.now() - FAILURES_WINDOW)
    return list(failed.values_list("error").annotate(number=Count("id")).order_by("-number"))


def live_model() -> int | None:
    """Returns the number of the live model version, or None."""
    live = ModelVersion.objects.live()
    return live.number if live else None
