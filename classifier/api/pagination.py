from rest_framework import pagination

from classifier.paging import FirstPages
from classifier.paging import Pages as PagesById


class Pages(pagination.PageNumberPagination):
    """Fifty a page, with the exact total: for lists of one person's own rows."""

    page_size = 50
    django_paginator_class = PagesById


class FirstThousand(Pages):
    """Of everybody's rows the first thousand, for lists from whose top one works."""

    django_paginator_class = FirstPages


class NewestFirst(pagination.CursorPagination):
    """Everybody's rows, without a total: `next` leads through all of them, however many are added meanwhile."""

    page_size = 50
    ordering = "-id"
