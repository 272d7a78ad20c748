"""Pagination of long lists: numbered pages, a cap on what is counted, and keyset pages."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.core.paginator import Page, Paginator
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.functional import cached_property

from classifier.core.requests import check_query

PAGE_SIZE = 24


class DeferredJoinPaginator(Paginator):  # type: ignore[type-arg]
    """Finds the ids of the rows on a page first, then reads these rows alone.

    The database would otherwise read the thousands of rows before a late page only to skip them. Their ids are in the
    index that the list is sorted by.
    """

    def page(self, number: int | str) -> Page[Any]:
        number = self.validate_number(number)
        rows: QuerySet[Any] = self.object_list  # type: ignore[assignment]
        ids = rows.values("pk")[(number - 1) * self.per_page : min(number * self.per_page, self.count)]
        return Page(rows.filter(pk__in=ids), number, self)


class CappedPaginator(DeferredJoinPaginator):
    """Lists the first 500 rows. Counting millions at each request would cost more than the total is worth."""

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


def numbered_page(
    request: HttpRequest,
    rows: QuerySet[Any] | Sequence[Any],
    paginator: "type[Paginator[Any]] | None" = None,
    *,
    filters: Iterable[str] = (),
) -> dict[str, Any]:
    """Returns `page`, as the address's `page` parameter names it, and `page_numbers`: what _pagination.html shows.

    Args:
        filters: names of the other parameters that the address may have.

    Raises:
        QueryRefused: the address has a parameter that is neither.
    """
    check_query(request, {"page", *filters})
    default = DeferredJoinPaginator if isinstance(rows, QuerySet) else Paginator
    pages = (paginator or default)(rows, PAGE_SIZE)
    page = pages.get_page(request.GET.get("page"))
    numbers = pages.get_elided_page_range(page.number, on_each_side=1, on_ends=1)
    return {"page": page, "page_numbers": numbers}


@dataclass(frozen=True)
class KeysetPage:
    """Rows by descending id. `newer` and `older` are the ids that the neighbouring pages start from, or None."""

    rows: list[Any]
    newer: int | None
    older: int | None


def keyset_page(rows: QuerySet[Any], size: int, query: Mapping[str, str]) -> KeysetPage:
    """Returns the rows after the id `after`, before the id `before`, or the newest, as the query names one."""
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


def in_batches(rows: QuerySet[Any], size: int = 1000) -> Iterator[Any]:
    """Yields all rows by descending id.

    No cursor stays open, because each chunk of a streaming response may be made in another thread.
    """
    batch = list(rows.order_by("-id")[:size])
    while batch:
        yield from batch
        batch = list(rows.filter(id__lt=batch[-1].pk).order_by("-id")[:size])


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 19 else None
