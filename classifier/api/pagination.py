from typing import Any

from rest_framework import pagination
from rest_framework.request import Request

from classifier import paging


class Pages(pagination.PageNumberPagination):
    """Fifty a page, with the exact total: for lists of one person's own rows."""

    page_size = 50
    django_paginator_class = paging.Pages
    last_page_strings = ()

    def get_page_number(self, request: Request, paginator: Any) -> str | int:
        """An empty one is no page."""
        return request.query_params.get(self.page_query_param, 1)


class FirstPages(Pages):
    """Of everybody's rows the first 500, for lists from whose top one works."""

    django_paginator_class = paging.FirstPages


class NewestFirst(pagination.CursorPagination):
    """Everybody's rows, without a total: `next` leads through all of them, however many are added meanwhile."""

    page_size = 50
    ordering = "-id"
