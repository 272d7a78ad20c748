"""Pagination of long lists: page numbers over an index, a cap on what is counted, and keyset pages."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.core.paginator import Page, Paginator
from django.db.models import QuerySet
from django.utils.functional import cached_property


class DeferredJoinPaginator(Paginator):  # type: ignore[type-arg]
    """Finds which rows stand on a page first, by their ids alone, and reads no others.

    Behind a page far back lie thousands of rows, which the database would read only to leave them out. Their ids are
    in the index that the list is sorted by.
    """

    def page(self, number: int | str) -> Page[Any]:
        number = self.validate_number(number)
        rows: QuerySet[Any] = self.object_list  # type: ignore[assignment]
        ids = rows.values("pk")[(number - 1) * self.per_page : min(number * self.per_page, self.count)]
        return Page(rows.filter(pk__in=ids), number, self)


class CappedPaginator(DeferredJoinPaginator):
    """Of a list that nobody reads to its end the first 500: counting millions would cost more than it tells."""

    most = 500

    @cached_property
    def count(self) -> int:  # type: ignore[override]
        return min(self._count_to_most, self.most)

    @property
    def has_more(self) -> bool:
        return self._count_to_most > self.most

    @cached_property
    def _count_to_most(self) -> int:
        rows: QuerySet[Any] = self.object_list  # type: ignore[assignment]
        return rows.values("pk")[: self.most + 1].count()


@dataclass(frozen=True)
class KeysetPage:
    """Rows by falling id. `newer` and `older` are ids to go on from; None where the list ends."""

    rows: list[Any]
    newer: int | None
    older: int | None


def keyset_page(rows: QuerySet[Any], size: int, query: Mapping[str, str]) -> KeysetPage:
    """The rows after the id `after`, before the id `before`, or the newest, as the query of an address says."""
    after, before = _number(query.get("after")), _number(query.get("before"))
    if after is not None:
        found = list(rows.filter(id__gt=after).order_by("id")[: size + 1])
        if len(found) > size:
            found = found[:size][::-1]
            return KeysetPage(found, newer=found[0].pk, older=found[-1].pk)
        before = None
    if before is not None:
        rows = rows.filter(id__lt=before)
    found = list(rows.order_by("-id")[: size + 1])
    shown = found[:size]
    return KeysetPage(
        shown,
        newer=shown[0].pk if shown and before is not None else None,
        older=shown[-1].pk if len(found) > size else None,
    )


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 19 else None
