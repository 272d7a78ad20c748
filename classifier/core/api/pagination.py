from typing import Any

from rest_framework import pagination
from rest_framework.request import Request

from classifier.core.pagination import CappedPaginator, DeferredJoinPaginator


class PageNumberPagination(pagination.PageNumberPagination):
    """Fifty rows a page and the exact total, for lists of one person's own rows."""

    page_size = 50
    django_paginator_class = DeferredJoinPaginator
    last_page_strings = ()

    def get_page_number(self, request: Request, paginator: Any) -> str | int:
        """An empty page parameter is not a page number."""
        return request.query_params.get(self.page_query_param, 1)


class CappedPagination(PageNumberPagination):
    """The first 500 of everybody's rows, for lists that are worked off from the top."""

    django_paginator_class = CappedPaginator


class NewestFirstPagination(pagination.CursorPagination):
    """Everybody's rows without a total. `next` leads through all of them, however many are added meanwhile."""

    page_size = 50
    ordering = "-id"
