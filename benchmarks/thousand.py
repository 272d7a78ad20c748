"""What a thousand X-rays a second would take: arithmetic on what was measured of one."""

from typing import TYPE_CHECKING

from benchmarks.tables import table

if TYPE_CHECKING:
    from benchmarks.throughput import Figures

A_SECOND = 1000
DAY = 24 * 3600


def table_of(found: "dict[str, Figures]") -> str:
    every = list(found.values())

    def row(what: str, *cells: str) -> list[str]:
        return [what, *cells]

    rows = [
        row("processors for web", *(_number(A_SECOND * one.upload["web"]) for one in every)),
        row(
            "processors for prediction workers", *(_number(A_SECOND * one.answer["worker"]) for one in every)
        ),
        row("processors for PostgreSQL", *(_number(A_SECOND * _both(one, "postgres")) for one in every)),
        row("processors for Redis", *(_number(A_SECOND * _both(one, "redis"), 2) for one in every)),
        row("commits a second", *(_number(A_SECOND * _both(one, "commits")) for one in every)),
        row("MB of write-ahead log a second", *(_number(_both(one, "wal_bytes") / 1000) for one in every)),
        row("Redis commands a second", *(_number(A_SECOND * _both(one, "redis_commands")) for one in every)),
        row("MB a second through Redis", *(_number(_both(one, "redis_bytes") / 1000, 1) for one in every)),
        row("MB a second into the storage", *(_number(_stored(one) / 1000) for one in every)),
        row("MB a second out of it to workers", *(_number(one.sizes["radiographs"] / 1000) for one in every)),
        row(
            "writes and reads a second of the storage", *(f"{2 * A_SECOND:,} and {A_SECOND:,}" for _ in every)
        ),
        row("million predictions a day", *(_number(A_SECOND * DAY / 1e6, 1) for _ in every)),
        row("TB a day in the storage", *(_number(A_SECOND * DAY * _stored(one) / 1e12, 1) for one in every)),
        row(
            "GB a day of heat maps in PostgreSQL",
            *(_number(A_SECOND * DAY * one.sizes["heat map"] / 1e9) for one in every),
        ),
    ]
    return table(["at a thousand a second", *found], rows)


def _both(one: "Figures", what: str) -> float:
    """Of an upload and its answer."""
    return one.upload[what] + one.answer[what]


def _stored(one: "Figures") -> float:
    return one.sizes["radiographs"] + one.sizes["thumbnails"]


def _number(value: float, digits: int = 0) -> str:
    return f"{value:,.{digits}f}"
