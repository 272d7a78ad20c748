"""Content negotiation."""

from typing import Any

from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.request import Request


class AnyMediaType(DefaultContentNegotiation):
    """Ignores `Accept`: picture endpoints return the stored media type, all others return JSON.

    No request is refused with 406 for this header.
    """

    def select_renderer(self, request: Request, renderers: Any, format_suffix: Any = None) -> Any:
        return renderers[0], renderers[0].media_type
