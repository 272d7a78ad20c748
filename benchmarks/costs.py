"""Tables of the resources for one X-ray, and of those extrapolated to a thousand X-rays per second."""

import statistics
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

from benchmarks.tables import table

PARTS = ("claim", "read", "preprocess", "infer", "write", "log and the rest")
A_SECOND = 1000
DAY = 24 * 3600


@dataclass
class Figures:
    """The resources used for each X-ray of one size.

    Attributes:
        upload: Processor seconds, counts and bytes of an upload.
        rates: Predictions per second of each round, by number of workers.
        answers: Processor seconds, counts and bytes of a prediction with one worker, of each round.
        parts: Processor milliseconds of each part of a prediction.
        sizes: Bytes of the stored files.
    """

    upload: dict[str, float]
    rates: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    answers: list[dict[str, float]] = field(default_factory=list)
    parts: dict[str, float] = field(default_factory=dict)
    sizes: dict[str, float] = field(default_factory=dict)

    def answer(self, what: str) -> float:
        return statistics.median(answer[what] for answer in self.answers)

    def both(self, what: str) -> float:
        """Returns the sum for an upload and its prediction."""
        return self.upload[what] + self.answer(what)

    @property
    def stored(self) -> float:
        return self.sizes["radiographs"] + self.sizes["thumbnails"]


def of_one(found: dict[str, Figures]) -> str:
    rows: list[tuple[str, Callable[[Figures], float]]] = [
        ("**an upload**: web", lambda one: 1000 * one.upload["web"]),
        ("PostgreSQL", lambda one: 1000 * one.upload["postgres"]),
        ("**an answer**: worker", lambda one: 1000 * one.answer("worker")),
        *((f"… {part}", lambda one, part=part: one.parts.get(part, 0.0)) for part in PARTS),  # type: ignore[misc]
        (
            "… Celery and the broker: the rest",
            lambda one: 1000 * one.answer("worker") - sum(one.parts.values()),
        ),
        ("PostgreSQL", lambda one: 1000 * one.answer("postgres")),
        ("Redis", lambda one: 1000 * one.answer("redis")),
    ]
    return _table("processor milliseconds of", rows, found, digits=1)


def of_a_thousand_a_second(found: dict[str, Figures]) -> str:
    rows: list[tuple[str, Callable[[Figures], float]]] = [
        ("processors for web", lambda one: A_SECOND * one.upload["web"]),
        ("processors for prediction workers", lambda one: A_SECOND * one.answer("worker")),
        ("processors for PostgreSQL", lambda one: A_SECOND * one.both("postgres")),
        ("processors for Redis", lambda one: A_SECOND * one.both("redis")),
        ("transactions a second", lambda one: A_SECOND * one.both("commits")),
        ("MB of write-ahead log a second", lambda one: A_SECOND * one.both("wal_bytes") / 1e6),
        ("Redis commands a second", lambda one: A_SECOND * one.both("redis_commands")),
        ("MB a second to and from Redis", lambda one: A_SECOND * one.both("redis_bytes") / 1e6),
        ("MB a second into the storage", lambda one: A_SECOND * one.stored / 1e6),
        ("MB a second from it to workers", lambda one: A_SECOND * one.sizes["radiographs"] / 1e6),
        ("TB a day in the storage", lambda one: A_SECOND * DAY * one.stored / 1e12),
    ]
    return _table("at a thousand a second", rows, found, digits=0)


def _table(
    title: str, rows: list[tuple[str, Callable[[Figures], float]]], found: dict[str, Figures], digits: int
) -> str:
    cells = [[what, *(f"{of(one):,.{digits}f}" for one in found.values())] for what, of in rows]
    return table([title, *found], cells)
