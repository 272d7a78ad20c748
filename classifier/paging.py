"""Pages of lists that may be long."""

from typing import Any

from django.core.paginator import Page, Paginator
from django.db.models import QuerySet
from django.utils.functional import cached_property


class Pages(Paginator):  # type: ignore[type-arg]
    """Finds which rows stand on a page first, by their ids alone, and reads no others.

    Behind a page far back lie thousands of rows, which the database would read only to leave them out. Their ids are
    in the index that the list is sorted by.
    """

    def page(self, number: int | str) -> Page[Any]:
        number = self.validate_number(number)
        rows: QuerySet[Any] = self.object_list  # type: ignore[assignment]
        ids = rows.values("pk")[(number - 1) * self.per_page : min(number * self.per_page, self.count)]
        return Page(rows.filter(pk__in=ids), number, self)


class FirstPages(Pages):
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
