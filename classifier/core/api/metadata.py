"""The answer to OPTIONS."""

from typing import Any

from rest_framework.metadata import BaseMetadata
from rest_framework.request import Request


class NameAndDescription(BaseMetadata):
    """Answers OPTIONS with a name and a description only; the OpenAPI schema has the rest.

    REST framework's own metadata describes the fields of a list's rows as the fields that can be sent.
    """

    def determine_metadata(self, request: Request, view: Any) -> dict[str, str]:
        return {"name": view.get_view_name(), "description": view.get_view_description()}
