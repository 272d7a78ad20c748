from typing import Any

from django.shortcuts import get_object_or_404
from django.urls import reverse
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.generics import ListAPIView
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request, is_form_media_type
from rest_framework.response import Response
from rest_framework.views import APIView

from classifier.core.api.parsers import JSONParser
from classifier.core.api.permissions import HasPermission
from classifier.core.api.schema import BODY, errors
from classifier.core.api.serializers import NullableCharField, StrictCharField, StrictIntegerField
from classifier.core.permissions import TRAIN, VIEW
from classifier.datasets.models import DatasetVersion, DatasetVersionQuerySet
from classifier.datasets.services import request_dataset_from_reviews, request_dataset_from_zip


class DatasetVersionSerializer(serializers.ModelSerializer[DatasetVersion]):
    parent = serializers.IntegerField(  # type: ignore[assignment]
        source="parent_id", allow_null=True, help_text="The version whose split it took over."
    )
    created_by = serializers.CharField(source="created_by.username", default=None, allow_null=True)
    checksum = NullableCharField(help_text="Of the manifest; null until succeeded.")
    error = NullableCharField()

    class Meta:
        model = DatasetVersion
        fields = [
            "id", "state", "source", "parent", "note", "created_by", "created_at", "finished_at", "error",
            "phase", "step", "steps", "checksum", "classes", "counts", "reviewed",
        ]  # fmt: skip


class OneDatasetVersionSerializer(DatasetVersionSerializer):
    report = serializers.JSONField(help_text="What the audit found.")

    class Meta(DatasetVersionSerializer.Meta):
        fields = [*DatasetVersionSerializer.Meta.fields, "report"]


class DatasetFromZipSerializer(serializers.Serializer[Any]):
    file = serializers.FileField(
        allow_empty_file=True, help_text="A zip with a folder of images for each class."
    )
    new_classes = serializers.BooleanField(
        default=False, help_text="The zip's classes may differ from those of the newest version."
    )
    note = StrictCharField(required=False, allow_blank=True, max_length=500, default="")


class DatasetFromReviewsSerializer(serializers.Serializer[Any]):
    parent = StrictIntegerField(  # type: ignore[assignment]
        help_text="The version to which reviewed radiographs are added."
    )
    note = StrictCharField(required=False, allow_blank=True, max_length=500, default="")


class DatasetVersions(ListAPIView[DatasetVersion]):
    serializer_class = DatasetVersionSerializer
    permission_classes = [HasPermission]
    needs = {"GET": VIEW, "POST": TRAIN}
    parser_classes = [MultiPartParser, JSONParser]

    @extend_schema(
        operation_id="dataset_version_list",
        responses={200: DatasetVersionSerializer(many=True), **errors(404)},
    )
    def get(self, request: Request) -> Response:
        """All data set versions, newest first, also those that were refused."""
        return self.list(request)

    def get_queryset(self) -> DatasetVersionQuerySet:
        return DatasetVersion.objects.newest_first().select_related("created_by").defer("report", "samples")

    @extend_schema(
        operation_id="dataset_version_create",
        request={
            "multipart/form-data": DatasetFromZipSerializer,
            "application/json": DatasetFromReviewsSerializer,
        },
        responses={201: DatasetVersionSerializer, **errors(*BODY, 404, 409, 507)},
    )
    def post(self, request: Request) -> Response:
        """Make a version from a zip (a form), or from an earlier one and reviewed radiographs (JSON).

        A worker audits it.
        """
        data, user = request.data, _user(request)
        if is_form_media_type(request.content_type):
            wanted = _wanted(DatasetFromZipSerializer(data=data))
            dataset = request_dataset_from_zip(user=user, upload=wanted.pop("file"), **wanted)
        else:
            wanted = _wanted(DatasetFromReviewsSerializer(data=data))
            parent = get_object_or_404(DatasetVersion, id=wanted.pop("parent"))
            dataset = request_dataset_from_reviews(user=user, parent=parent, **wanted)
        where = reverse("api_dataset_version", args=[dataset.pk])
        return Response(DatasetVersionSerializer(dataset).data, status=201, headers={"Location": where})


class OneDatasetVersion(APIView):
    permission_classes = [HasPermission]
    needs = {"GET": VIEW}

    @extend_schema(
        operation_id="dataset_version_retrieve",
        responses={200: OneDatasetVersionSerializer, **errors(404)},
    )
    def get(self, request: Request, id: int) -> Response:
        """One version with its progress, and what the audit found."""
        return Response(OneDatasetVersionSerializer(get_object_or_404(DatasetVersion, id=id)).data)


def _user(request: Request) -> Any:
    return request.user


def _wanted(sent: serializers.Serializer[Any]) -> dict[str, Any]:
    sent.is_valid(raise_exception=True)
    return dict(sent.validated_data)
