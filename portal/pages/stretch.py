"""A stretch of a list that is too long to count, with the ways on: what lies before it is found by id."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet


@dataclass(frozen=True)
class Stretch:
    """Rows by falling id. `newer` and `older` are ids to go on from; None where the list ends."""

    rows: list[Any]
    newer: int | None
    older: int | None


def stretch(rows: QuerySet[Any], size: int, query: Mapping[str, str]) -> Stretch:
    """The rows after the id `after`, before the id `before`, or the newest, as the query of an address says."""
    after, before = _number(query.get("after")), _number(query.get("before"))
    if after is not None:
        found = list(rows.filter(id__gt=after).order_by("id")[: size + 1])
        if len(found) > size:
            found = found[:size][::-1]
            return Stretch(found, newer=found[0].pk, older=found[-1].pk)
        before = None
    if before is not None:
        rows = rows.filter(id__lt=before)
    found = list(rows.order_by("-id")[: size + 1])
    shown = found[:size]
    return Stretch(
        shown,
        newer=shown[0].pk if shown and before is not None else None,
        older=shown[-1].pk if len(found) > size else None,
    )


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 19 else None
