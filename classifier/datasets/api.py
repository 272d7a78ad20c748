"""The API of data set versions."""

from typing import Any

from django.shortcuts import get_object_or_404
from django.urls import reverse
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import serializers
from rest_framework.mixins import ListModelMixin, RetrieveModelMixin
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request, is_form_media_type
from rest_framework.response import Response

from classifier.core.api.parsers import JSONParser
from classifier.core.api.permissions import HasPermission
from classifier.core.api.schema import BODY, errors
from classifier.core.api.serializers import (
    NullableCharField,
    StrictCharField,
    StrictIntegerField,
    StrictSerializer,
    validate,
)
from classifier.core.api.viewsets import ViewSet
from classifier.core.permissions import TRAIN, VIEW
from classifier.datasets.models import DatasetVersion, DatasetVersionQuerySet
from classifier.datasets.services import request_dataset_from_reviews, request_dataset_from_zip


class DatasetVersionSerializer(serializers.ModelSerializer[DatasetVersion]):
    parent = serializers.IntegerField(  # type: ignore[assignment]
        source="parent_id", allow_null=True, help_text="The version whose split this version keeps."
    )
    created_by = serializers.CharField(source="created_by.username", default=None, allow_null=True)
    counts = serializers.JSONField(
        help_text="Number of images by split and class; `no-kind` are images without a kind of fracture."
    )
    findings = serializers.JSONField(
        help_text="Number of images by split that are known to be fractured or not; empty if none are."
    )
    reviewed_splits = serializers.JSONField(
        help_text="Number of used reviewed radiographs by split; empty without reviews."
    )
    frozen_test = serializers.JSONField(
        help_text="Test images of the parent: how many are `kept`, and how many are `gone`, by reason."
    )
    checksum = NullableCharField(help_text="Checksum of the manifest; null until succeeded.")
    error = NullableCharField()

    class Meta:
        model = DatasetVersion
        fields = [
            "id", "state", "source", "parent", "note", "created_by", "created_at", "finished_at", "error",
            "phase", "step", "steps", "checksum", "classes", "counts", "findings", "reviewed",
            "reviewed_splits", "frozen_test",
        ]  # fmt: skip


class OneDatasetVersionSerializer(DatasetVersionSerializer):
    report = serializers.JSONField(help_text="Findings of the audit.")

    class Meta(DatasetVersionSerializer.Meta):
        fields = [*DatasetVersionSerializer.Meta.fields, "report"]


class DatasetFromZipSerializer(serializers.Serializer[Any]):
    file = serializers.FileField(
        allow_empty_file=True,
        help_text="A zip with one folder of images for each class, or findings.csv, or both.",
    )
    new_classes = serializers.BooleanField(
        default=False, help_text="Allow classes that differ from those of the newest version."
    )
    note = StrictCharField(required=False, allow_blank=True, max_length=500, default="")


class DatasetFromReviewsSerializer(StrictSerializer):
    parent = StrictIntegerField(  # type: ignore[assignment]
        help_text="The version to which reviewed radiographs are added."
    )
    note = StrictCharField(required=False, allow_blank=True, max_length=500, default="")


@extend_schema_view(
    list=extend_schema(
        operation_id="dataset_version_list",
        description="Lists all data set versions, newest first, including refused ones.",
        responses={200: DatasetVersionSerializer(many=True), **errors(404)},
    ),
    retrieve=extend_schema(
        operation_id="dataset_version_retrieve",
        description="Returns one version with its progress and the findings of its audit.",
        responses={200: OneDatasetVersionSerializer, **errors(404)},
    ),
)
class DatasetVersionsViewSet(ListModelMixin, RetrieveModelMixin, ViewSet[DatasetVersion]):
    permission_classes = [HasPermission]
    needs = {"list": VIEW, "create": TRAIN, "retrieve": VIEW}
    parser_classes = [MultiPartParser, JSONParser]

    def get_queryset(self) -> DatasetVersionQuerySet:
        versions = DatasetVersion.objects.newest_first().select_related("created_by")
        return versions.defer("report", "samples") if self.action == "list" else versions

    def get_serializer_class(self) -> type[DatasetVersionSerializer]:
        return DatasetVersionSerializer if self.action == "list" else OneDatasetVersionSerializer

    @extend_schema(
        operation_id="dataset_version_create",
        request={
            "multipart/form-data": DatasetFromZipSerializer,
            "application/json": DatasetFromReviewsSerializer,
        },
        responses={201: DatasetVersionSerializer, **errors(*BODY, 404, 409, 507)},
    )
    def create(self, request: Request) -> Response:
        """Creates a version from a zip (sent as a form), or from an earlier version and reviews (sent as JSON).

        A worker audits it in the background.
        """
        if is_form_media_type(request.content_type):
            wanted = validate(DatasetFromZipSerializer, request.data)
            dataset = request_dataset_from_zip(user=self.user, upload=wanted.pop("file"), **wanted)
        else:
            wanted = validate(DatasetFromReviewsSerializer, request.data)
            parent = get_object_or_404(DatasetVersion, id=wanted.pop("parent"))
            dataset = request_dataset_from_reviews(user=self.user, parent=parent, **wanted)
        location = reverse("api_dataset_versions_detail", args=[dataset.pk])
        return Response(DatasetVersionSerializer(dataset).data, status=201, headers={"Location": location})
