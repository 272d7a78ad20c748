from typing import Any

from rest_framework.pagination import PageNumberPagination
from rest_framework.request import Request


class Pages(PageNumberPagination):
    """Fifty a page, with the exact total.

    The count reads the index of one person's own rows, never the table: docs/api.md has what it costs.
    """

    page_size = 50
    last_page_strings = ()

    def get_page_number(self, request: Request, paginator: Any) -> str | int:
        """An empty one is no page."""
        return request.query_params.get(self.page_query_param, 1)
