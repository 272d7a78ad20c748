from typing import Any

from rest_framework.metadata import BaseMetadata
from rest_framework.request import Request


class NameAndDescription(BaseMetadata):
    """What OPTIONS is answered. The rest is in the schema.

    REST framework's own takes what a list answers for what can be sent to it.
    """

    def determine_metadata(self, request: Request, view: Any) -> dict[str, str]:
        return {"name": view.get_view_name(), "description": view.get_view_description()}
