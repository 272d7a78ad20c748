"""The base class of all view sets."""

from typing import Any, TypeVar, cast

from django.db.models import Model
from django.http.response import HttpResponseBase
from django.utils.cache import add_never_cache_headers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.serializers import Serializer
from rest_framework.viewsets import GenericViewSet

from classifier.core.api.serializers import validate
from classifier.core.models import User

T = TypeVar("T", bound=Model)


# Looks rows up by id, and forbids caching of every response that does not set Cache-Control itself. View sets are
# described in comments: the OpenAPI schema and the answer to OPTIONS would show a docstring.
class ViewSet(GenericViewSet[T]):
    lookup_field = "id"
    lookup_value_converter = "int"
    # Of the query of a list; its fields are the only parameters besides those of the pagination.
    filter_serializer_class: type[Serializer[Any]] | None = None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Checks permissions, then the names of the query parameters.

        A misspelled filter would otherwise return everything.
        """
        super().initial(request, *args, **kwargs)
        if self.action is None or self.action == "metadata":
            return
        known = self._query_parameters() if self.action == "list" else set()
        unknown = sorted(set(request.query_params) - known)
        if unknown:
            raise ValidationError({name: "This query parameter is not known." for name in unknown})

    def filters(self) -> dict[str, Any]:
        """Returns the filters of the query as `filter_serializer_class` reads them."""
        serializer_class = self.filter_serializer_class or Serializer
        return validate(serializer_class, self.request.query_params.dict())

    def _query_parameters(self) -> set[str]:
        filters = self.filter_serializer_class().fields if self.filter_serializer_class else {}
        parameters = ("page_query_param", "cursor_query_param", "page_size_query_param")
        return {*filters, *(getattr(self.paginator, name, None) or "" for name in parameters)} - {""}

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
