"""What all view sets of the API have in common."""

from typing import Any, TypeVar, cast

from django.db.models import Model
from django.http.response import HttpResponseBase
from django.utils.cache import add_never_cache_headers
from rest_framework.request import Request
from rest_framework.viewsets import GenericViewSet

from classifier.core.models import User

T = TypeVar("T", bound=Model)


# Comments instead of docstrings on view sets: the OpenAPI schema and OPTIONS would show a docstring.
# Rows are looked up by id. No cache stores a response, unless the response itself says that one may.
class ViewSet(GenericViewSet[T]):
    lookup_field = "id"
    lookup_value_converter = "int"

    @property
    def user(self) -> User:
        """The user who sends the request; only for actions that need authentication."""
        return cast(User, self.request.user)

    def finalize_response(  # type: ignore[override]  # REST framework takes any response of Django
        self, request: Request, response: HttpResponseBase, *args: Any, **kwargs: Any
    ) -> HttpResponseBase:
        response = super().finalize_response(request, response, *args, **kwargs)  # type: ignore[arg-type]
        if not response.has_header("Cache-Control"):
            add_never_cache_headers(response)
        return response
