"""How lists of the API are cut into pages."""

from typing import Any

from rest_framework import pagination
from rest_framework.request import Request

from classifier.core.pagination import CappedPaginator, DeferredJoinPaginator


class PageNumberPagination(pagination.PageNumberPagination):
    """Pages of fifty rows with the exact total, for lists of a user's own rows."""

    page_size = 50
    django_paginator_class = DeferredJoinPaginator
    last_page_strings = ()

    def get_page_number(self, request: Request, paginator: Any) -> str | int:
        """Returns the parameter as it was sent: an empty one is not a page number, and gets 404."""
        return request.query_params.get(self.page_query_param, 1)


class CappedPagination(PageNumberPagination):
    """Pages of the first 500 rows, for lists of all users' rows that are worked off from the top."""

    django_paginator_class = CappedPaginator


class NewestFirstPagination(pagination.CursorPagination):
    """Keyset pages without a total, for lists of all users' rows.

    `next` leads through all rows, also when rows are added meanwhile.
    """

    page_size = 50
    ordering = "-id"
