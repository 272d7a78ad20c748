from typing import Any

from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.views import APIView

from classifier.api.schema import errors
from classifier.services.export_account import export_account


class AccountExport(APIView):
    @extend_schema(
        operation_id="account_export",
        responses={(200, "application/zip"): OpenApiTypes.BINARY, **errors()},
    )
    def get(self, request: Request) -> StreamingHttpResponse:
        """All your data as one zip: account.json, radiographs.json, reviews.json and the pictures."""
        user: Any = request.user
        return StreamingHttpResponse(
            export_account(user=user),
            content_type="application/zip",
            headers={"Content-Disposition": 'attachment; filename="callus-export.zip"'},
        )
