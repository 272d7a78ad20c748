"""The facts in Prometheus's text format.

All of them come from the database, so each web process gives the same. Counts are of the last five minutes, as
gauges: counting a history of millions at each scrape would cost more than it is worth.
"""

from collections.abc import Iterable, Iterator

from django.utils import timezone
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from portal.operations import facts
from portal.operations.models import Canary

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
Metric = GaugeMetricFamily | HistogramMetricFamily


def as_text() -> bytes:
    """Returns all metrics, as of now."""
    return generate_latest(_registry)


class Facts(Collector):
    def collect(self) -> Iterator[Metric]:
        yield from _unfinished()
        yield from _recent()
        yield _gauge(
            "callus_predictions_failed_24h",
            "Predictions that failed within 24 hours, by the reason that users read.",
            facts.failures(),
            label="reason",
        )
        yield _gauge(
            "callus_live_model_version",
            "The model version that answers new uploads.",
            [("", facts.live_model() or 0)],
        )
        now = timezone.now()
        signs = [(canary.queue, canary.last_sign) for canary in Canary.objects.order_by("queue")]
        yield _gauge(
            "callus_queue_silent_seconds",
            "Seconds since a queue's last sign of life: a test task that came through, or a busy worker.",
            [(queue, (now - sign).total_seconds()) for queue, sign in signs if sign],
            label="queue",
        )


# Not the library's default registry, which adds figures of the one web process that answers.
_registry = CollectorRegistry()
_registry.register(Facts())


def _unfinished() -> Iterator[Metric]:
    rows = facts.unfinished()
    yield _gauge(
        "callus_predictions_unfinished",
        "Predictions that wait or run.",
        [(row.state, row.number) for row in rows],
        label="state",
    )
    yield _gauge(
        "callus_predictions_oldest_seconds",
        "Age of the oldest unfinished prediction.",
        [(row.state, row.oldest.total_seconds()) for row in rows],
        label="state",
    )


def _recent() -> Iterator[Metric]:
    recent = facts.recent()
    yield _gauge(
        "callus_predictions_finished_5m",
        "Predictions that finished within five minutes.",
        [("succeeded", recent.succeeded), ("failed", recent.failed)],
        label="state",
    )
    yield _gauge(
        "callus_predictions_retried_5m",
        "Predictions finished within five minutes after more than one attempt.",
        [("", recent.retried)],
    )
    yield _gauge(
        "callus_prediction_attempts_5m",
        "Attempts of the predictions finished within five minutes.",
        [("", recent.attempts)],
    )
    at_most = [(str(seconds), float(number)) for seconds, number in recent.at_most.items()]
    yield HistogramMetricFamily(
        "callus_prediction_seconds_5m",
        "Seconds from a worker's claim to the answer, within five minutes.",
        buckets=[*at_most, ("+Inf", float(recent.finished))],
        sum_value=recent.took.total_seconds(),
    )


def _gauge(name: str, text: str, values: Iterable[tuple[str, float]], label: str = "") -> Metric:
    gauge = GaugeMetricFamily(name, text, labels=[label] if label else [])
    for value_of_label, value in values:
        gauge.add_metric([value_of_label] if label else [], value)
    return gauge
