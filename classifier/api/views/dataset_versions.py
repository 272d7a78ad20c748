from typing import Any

from django.shortcuts import get_object_or_404
from django.urls import reverse
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.generics import ListAPIView
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from classifier.api.parsers import JSONParser
from classifier.api.permissions import Needed
from classifier.api.schema import errors
from classifier.api.serializers import TextOrNull
from classifier.models import DatasetVersion
from classifier.models.dataset import DatasetVersionQuerySet
from classifier.permissions import TRAIN, VIEW
from classifier.services.request_dataset import request_dataset_from_reviews, request_dataset_from_zip


class DatasetVersionSerializer(serializers.ModelSerializer[DatasetVersion]):
    parent = serializers.IntegerField(  # type: ignore[assignment]
        source="parent_id", allow_null=True, help_text="The version whose split it took over."
    )
    created_by = serializers.CharField(source="created_by.username", default=None, allow_null=True)
    checksum = TextOrNull(help_text="Of the manifest; null until succeeded.")
    error = TextOrNull()

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


class NewDatasetVersionSerializer(serializers.Serializer[Any]):
    file = serializers.FileField(
        required=False, allow_empty_file=True, help_text="A zip with a folder of images for each class."
    )
    new_classes = serializers.BooleanField(
        default=False, help_text="The zip's classes may differ from those of the newest version."
    )
    parent = serializers.IntegerField(  # type: ignore[assignment]
        required=False, help_text="Instead of a file: the version to which reviewed radiographs are added."
    )
    note = serializers.CharField(required=False, allow_blank=True, max_length=500, default="")

    def validate(self, sent: dict[str, Any]) -> dict[str, Any]:
        if ("file" in sent) == ("parent" in sent):
            raise serializers.ValidationError("Please send either a file or a parent.")
        return sent


class DatasetVersions(ListAPIView[DatasetVersion]):
    serializer_class = DatasetVersionSerializer
    permission_classes = [Needed]
    needs = {"GET": VIEW, "POST": TRAIN}
    parser_classes = [MultiPartParser, JSONParser]

    @extend_schema(
        operation_id="dataset_version_list",
        responses={200: DatasetVersionSerializer(many=True), **errors(401, 404)},
    )
    def get(self, request: Request) -> Response:
        """All data set versions, newest first, also those that were refused."""
        return self.list(request)

    def get_queryset(self) -> DatasetVersionQuerySet:
        return DatasetVersion.objects.newest_first().select_related("created_by").defer("report", "samples")

    @extend_schema(
        operation_id="dataset_version_create",
        request={
            "multipart/form-data": NewDatasetVersionSerializer,
            "application/json": NewDatasetVersionSerializer,
        },
        responses={201: DatasetVersionSerializer, **errors(400, 401, 404, 409, 413, 415, 507)},
    )
    def post(self, request: Request) -> Response:
        """Make a version from a zip, or from an earlier one and reviewed radiographs. A worker audits it."""
        sent = NewDatasetVersionSerializer(data=request.data)
        sent.is_valid(raise_exception=True)
        wanted, user = sent.validated_data, _user(request)
        if "file" in wanted:
            dataset = request_dataset_from_zip(
                user=user, upload=wanted["file"], new_classes=wanted["new_classes"], note=wanted["note"]
            )
        else:
            parent = get_object_or_404(DatasetVersion, id=wanted["parent"])
            dataset = request_dataset_from_reviews(user=user, parent=parent, note=wanted["note"])
        where = reverse("api_dataset_version", args=[dataset.pk])
        return Response(DatasetVersionSerializer(dataset).data, status=201, headers={"Location": where})


class OneDatasetVersion(APIView):
    permission_classes = [Needed]
    needs = {"GET": VIEW}

    @extend_schema(
        operation_id="dataset_version_retrieve",
        responses={200: OneDatasetVersionSerializer, **errors(401, 404)},
    )
    def get(self, request: Request, id: int) -> Response:
        """One version with its progress, and what the audit found."""
        return Response(OneDatasetVersionSerializer(get_object_or_404(DatasetVersion, id=id)).data)


def _user(request: Request) -> Any:
    return request.user
