"""The base class of all view sets."""

from typing import Any, TypeVar, cast

from django.db.models import Model
from django.http.response import HttpResponseBase
from django.utils.cache import add_never_cache_headers
from rest_framework.request import Request
from rest_framework.viewsets import GenericViewSet

from classifier.core.models import User

T = TypeVar("T", bound=Model)


# Looks rows up by id, and forbids caching of every response that does not set Cache-Control itself. View sets are
# described in comments: the OpenAPI schema and the answer to OPTIONS would show a docstring.
class ViewSet(GenericViewSet[T]):
    lookup_field = "id"
    lookup_value_converter = "int"

    @property
    def user(self) -> User:
        """The user who sends the request. Only for actions that require authentication."""
        return cast(User, self.request.user)

    def finalize_response(  # type: ignore[override]  # its stubs do not know FileResponse
        self, request: Request, response: HttpResponseBase, *args: Any, **kwargs: Any
    ) -> HttpResponseBase:
        response = super().finalize_response(request, response, *args, **kwargs)  # type: ignore[arg-type]
        if not response.has_header("Cache-Control"):
            add_never_cache_headers(response)
        return response
