"""The facts in Prometheus's text format.

All of it comes from the database, so each web process tells the same. Counts are of the last five minutes, as
gauges: counting a history of millions at each scrape would cost more than it tells.
"""

from collections.abc import Iterator

from django.utils import timezone

from portal.operations import facts
from portal.operations.models import Canary


def samples() -> Iterator[str]:
    """All of it in Prometheus's text format."""
    yield from _unfinished_samples()
    yield from _recent_samples()
    yield from _group(
        "callus_predictions_failed_24h",
        "Predictions that failed within 24 hours, by the reason that users read.",
        [(f'{{reason="{_escape(reason)}"}}', number) for reason, number in facts.failures()],
    )
    yield from _group(
        "callus_live_model_version", "The model that answers new uploads.", [("", facts.live_model() or 0)]
    )
    yield from _canary_samples()


def _unfinished_samples() -> Iterator[str]:
    rows = facts.unfinished()
    yield from _group(
        "callus_predictions_unfinished",
        "Predictions that wait or run.",
        [(f'{{state="{row.state}"}}', row.number) for row in rows],
    )
    yield from _group(
        "callus_predictions_oldest_seconds",
        "Age of the oldest of them.",
        [(f'{{state="{row.state}"}}', row.oldest.total_seconds()) for row in rows],
    )


def _recent_samples() -> Iterator[str]:
    now = facts.recent()
    yield from _group(
        "callus_predictions_finished_5m",
        "Predictions that finished within five minutes.",
        [('{state="succeeded"}', now.succeeded), ('{state="failed"}', now.failed)],
    )
    yield from _group(
        "callus_predictions_retried_5m", "Those that took more than one attempt.", [("", now.retried)]
    )
    yield from _group("callus_prediction_attempts_5m", "All attempts that those took.", [("", now.attempts)])
    name = "callus_prediction_seconds_5m"
    yield f"# HELP {name} Seconds from a worker's claim to the answer, of those of five minutes."
    yield f"# TYPE {name} histogram"
    for seconds, number in now.at_most.items():
        yield f'{name}_bucket{{le="{seconds}"}} {number}'
    yield f'{name}_bucket{{le="+Inf"}} {now.finished}'
    yield f"{name}_sum {now.took.total_seconds():.6f}"
    yield f"{name}_count {now.finished}"


def _canary_samples() -> Iterator[str]:
    now = timezone.now()
    yield from _group(
        "callus_queue_silent_seconds",
        "Seconds since a queue's last sign of life: a test task that came through, or a busy worker.",
        [
            (f'{{queue="{canary.queue}"}}', (now - canary.last_sign).total_seconds())
            for canary in Canary.objects.order_by("queue")
            if canary.last_sign
        ],
    )


def _group(name: str, text: str, values: list[tuple[str, float]]) -> Iterator[str]:
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} gauge"
    for labels, value in values:
        yield f"{name}{labels} {value:.6g}" if isinstance(value, float) else f"{name}{labels} {value}"


def _escape(label: str) -> str:
    return label.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
