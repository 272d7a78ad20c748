from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from classifier.api.pagination import NewestFirst
from classifier.api.permissions import Needed
from classifier.api.schema import errors
from classifier.api.serializers import TextOrNull
from classifier.models import AuditEntry
from classifier.permissions import VIEW


class AuditEntrySerializer(serializers.ModelSerializer[AuditEntry]):
    actor = TextOrNull(source="actor_name", help_text="null when Callus itself did it.")

    class Meta:
        model = AuditEntry
        fields = ["id", "actor", "action", "subject", "subject_id", "subject_name", "detail", "created_at"]


class AuditEntries(ListAPIView[AuditEntry]):
    serializer_class = AuditEntrySerializer
    permission_classes = [Needed]
    needs = {"GET": VIEW}
    pagination_class = NewestFirst
    queryset = AuditEntry.objects.newest_first()

    @extend_schema(
        operation_id="audit_entry_list",
        responses={200: AuditEntrySerializer(many=True), **errors(404)},
    )
    def get(self, request: Request) -> Response:
        """Who did what, newest first."""
        return self.list(request)
