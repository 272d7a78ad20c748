from rest_framework.pagination import PageNumberPagination


class Pages(PageNumberPagination):
    """Fifty a page, with the exact total.

    The count reads the index of one person's own rows, never the table: docs/api.md has what it costs.
    """

    page_size = 50
