"""The OpenAPI schema, and a page to browse it and try it out: no internet, no inline script, no inline style."""

from csp.decorators import csp_update
from django.http import HttpRequest, JsonResponse
from django.utils.decorators import method_decorator
from django.views.decorators.csrf import csrf_exempt
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework import serializers
from rest_framework.generics import ListAPIView
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.request import Request
from rest_framework.response import Response

from classifier.core.api.errors import NOTHING_HERE, respond
from classifier.core.api.pagination import NewestFirstPagination
from classifier.core.api.permissions import HasPermission
from classifier.core.api.schema import errors
from classifier.core.api.serializers import NullableCharField
from classifier.core.models import AuditEntry
from classifier.core.permissions import VIEW


class Schema(SpectacularAPIView):
    """As YAML or JSON, whichever is asked for."""

    content_negotiation_class = DefaultContentNegotiation


# Swagger UI shows an image that it received as a blob.
@method_decorator(csp_update({"img-src": ["blob:"]}), name="dispatch")
class Docs(SpectacularSwaggerSplitView):
    url_name = "api_schema"
    template_name = "core/api_docs.html"


@csrf_exempt
def nothing(request: HttpRequest) -> JsonResponse:
    """For addresses that do not exist."""
    if not request.path_info.endswith("/"):
        return respond(404, f"{NOTHING_HERE} The addresses of the API end with a slash.")
    return respond(404, NOTHING_HERE)


class AuditEntrySerializer(serializers.ModelSerializer[AuditEntry]):
    actor = NullableCharField(source="actor_name", help_text="null when Callus itself did it.")

    class Meta:
        model = AuditEntry
        fields = ["id", "actor", "action", "subject", "subject_id", "subject_name", "detail", "created_at"]


class AuditEntries(ListAPIView[AuditEntry]):
    serializer_class = AuditEntrySerializer
    permission_classes = [HasPermission]
    needs = {"GET": VIEW}
    pagination_class = NewestFirstPagination
    queryset = AuditEntry.objects.newest_first()

    @extend_schema(
        operation_id="audit_entry_list",
        responses={200: AuditEntrySerializer(many=True), **errors(404)},
    )
    def get(self, request: Request) -> Response:
        """Who did what, newest first."""
        return self.list(request)
