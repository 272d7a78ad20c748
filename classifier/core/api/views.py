"""The OpenAPI schema with a page to try it out, the answer to unknown addresses, and the audit log."""

from csp.decorators import csp_update
from django.http import HttpRequest, JsonResponse
from django.utils.decorators import method_decorator
from django.views.decorators.csrf import csrf_exempt
from drf_spectacular.utils import extend_schema, extend_schema_view
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework import serializers
from rest_framework.mixins import ListModelMixin
from rest_framework.negotiation import DefaultContentNegotiation

from classifier.core.api.errors import NOTHING_HERE, respond
from classifier.core.api.pagination import NewestFirstPagination
from classifier.core.api.permissions import HasPermission
from classifier.core.api.schema import errors
from classifier.core.api.serializers import NullableCharField
from classifier.core.api.viewsets import ViewSet
from classifier.core.models import AuditEntry
from classifier.core.permissions import VIEW


class SchemaView(SpectacularAPIView):
    """The schema as YAML or JSON, as `Accept` or `?format=` asks for."""

    content_negotiation_class = DefaultContentNegotiation


@method_decorator(csp_update({"img-src": ["blob:"]}), name="dispatch")
class DocsView(SpectacularSwaggerSplitView):
    """Swagger UI without internet access, inline scripts or inline styles.

    It shows an image that it received as a blob, which the Content-Security-Policy of this page allows.
    """

    url_name = "api_schema"
    template_name = "core/api_docs.html"


@csrf_exempt
def not_found(request: HttpRequest) -> JsonResponse:
    """Answers addresses under /api/ that do not exist."""
    if not request.path_info.endswith("/"):
        return respond(404, f"{NOTHING_HERE} Addresses of the API end with a slash.")
    return respond(404, NOTHING_HERE)


class AuditEntrySerializer(serializers.ModelSerializer[AuditEntry]):
    actor = NullableCharField(source="actor_name", help_text="null when the portal itself did it.")

    class Meta:
        model = AuditEntry
        fields = ["id", "actor", "action", "subject", "subject_id", "subject_name", "detail", "created_at"]


@extend_schema_view(
    list=extend_schema(
        operation_id="audit_entry_list",
        description="Lists who did what, newest first.",
        responses={200: AuditEntrySerializer(many=True), **errors(404)},
    )
)
class AuditEntriesViewSet(ListModelMixin, ViewSet[AuditEntry]):
    queryset = AuditEntry.objects.newest_first()
    serializer_class = AuditEntrySerializer
    permission_classes = [HasPermission]
    needs = {"list": VIEW}
    pagination_class = NewestFirstPagination
