from typing import Any

from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.request import Request


class AnyMediaType(DefaultContentNegotiation):
    """An image is an image and all else is JSON, whatever `Accept` says: nobody is refused for that header."""

    def select_renderer(self, request: Request, renderers: Any, format_suffix: Any = None) -> Any:
        return renderers[0], renderers[0].media_type
