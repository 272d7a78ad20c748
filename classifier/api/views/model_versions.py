from typing import Any

from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from classifier.api.permissions import Needed
from classifier.api.schema import BODY, errors
from classifier.api.serializers import TextOrNull
from classifier.api.views.promotions import PromotionSerializer, ReasonSerializer
from classifier.models import Comparison, ModelVersion
from classifier.models.model_version import ModelVersionQuerySet
from classifier.permissions import PROMOTE, TRAIN, VIEW
from classifier.services.promote_version import promote_version
from classifier.services.request_comparison import request_comparison


class ModelVersionSerializer(serializers.ModelSerializer[ModelVersion]):
    classes = serializers.ListField(child=serializers.CharField())
    training_run = serializers.IntegerField(source="training_run_id", allow_null=True)
    dataset_version = serializers.IntegerField(
        source="training_run.dataset_version_id", default=None, allow_null=True
    )
    recipe = serializers.CharField(source="training_run.recipe", default=None, allow_null=True)
    created_by = serializers.CharField(source="created_by.username", default=None, allow_null=True)
    code_version = TextOrNull(help_text="The version of Callus that trained it.")
    is_live = serializers.BooleanField()

    class Meta:
        model = ModelVersion
        fields = [
            "number", "checksum", "source", "is_live", "classes", "training_run", "dataset_version", "recipe",
            "code_version", "created_by", "created_at",
        ]  # fmt: skip


class OneModelVersionSerializer(ModelVersionSerializer):
    card = serializers.JSONField(help_text="Classes, input, calibration, origin, figures, licences.")
    report = serializers.JSONField(
        help_text="What it does on the frozen test images of its data set version."
    )
    comparison = serializers.SerializerMethodField(help_text="The newest with a model that was live.")

    class Meta(ModelVersionSerializer.Meta):
        fields = [*ModelVersionSerializer.Meta.fields, "comparison", "card", "report"]

    def get_comparison(self, version: ModelVersion) -> int | None:
        return version.comparisons.order_by("-id").values_list("id", flat=True).first()


class ComparisonSerializer(serializers.ModelSerializer[Comparison]):
    candidate = serializers.IntegerField(source="candidate.number")
    live = serializers.IntegerField(source="live.number")
    dataset_version = serializers.IntegerField(source="dataset_version_id")
    verdict = TextOrNull()
    test_checksum = TextOrNull(help_text="Of the test images that both were measured on.")
    error = TextOrNull()

    class Meta:
        model = Comparison
        fields = [
            "id", "state", "candidate", "live", "dataset_version", "verdict", "num_images", "num_left_out",
            "is_origin_known", "test_checksum", "result", "created_at", "finished_at", "error",
        ]  # fmt: skip


class ModelVersions(ListAPIView[ModelVersion]):
    serializer_class = ModelVersionSerializer
    permission_classes = [Needed]
    needs = {"GET": VIEW}

    @extend_schema(
        operation_id="model_version_list",
        responses={200: ModelVersionSerializer(many=True), **errors(404)},
    )
    def get(self, request: Request) -> Response:
        """All model versions, newest first."""
        return self.list(request)

    def get_queryset(self) -> ModelVersionQuerySet:
        related = ModelVersion.objects.with_is_live().select_related("training_run", "created_by")
        return related.defer("report", "training_run__history", "training_run__log_tail").newest_first()


class OneModelVersion(APIView):
    permission_classes = [Needed]
    needs = {"GET": VIEW}

    @extend_schema(
        operation_id="model_version_retrieve",
        responses={200: OneModelVersionSerializer, **errors(404)},
    )
    def get(self, request: Request, number: int) -> Response:
        """One version with its card and report."""
        return Response(
            OneModelVersionSerializer(
                get_object_or_404(ModelVersion.objects.with_is_live(), number=number)
            ).data
        )


class PromoteModelVersion(APIView):
    permission_classes = [Needed]
    needs = {"POST": PROMOTE}

    @extend_schema(
        operation_id="model_version_promote",
        request=ReasonSerializer,
        responses={201: PromotionSerializer, **errors(*BODY, 404, 409)},
    )
    def post(self, request: Request, number: int) -> Response:
        """Make it live. Worse beyond chance, or not measured on the live model's test images: give a reason."""
        sent = ReasonSerializer(data=request.data)
        sent.is_valid(raise_exception=True)
        version = get_object_or_404(ModelVersion, number=number)
        user: Any = request.user
        promotion = promote_version(user=user, version=version, reason=sent.validated_data["reason"])
        return Response(PromotionSerializer(promotion).data, status=201)


class CompareModelVersion(APIView):
    permission_classes = [Needed]
    needs = {"POST": TRAIN}

    @extend_schema(
        operation_id="model_version_compare",
        request=None,
        responses={201: ComparisonSerializer, **errors(404, 409)},
    )
    def post(self, request: Request, number: int) -> Response:
        """Compare it with the live model, in the background, on the same frozen test images."""
        version = get_object_or_404(ModelVersion, number=number)
        user: Any = request.user
        comparison = request_comparison(user=user, candidate=version)
        return Response(ComparisonSerializer(comparison).data, status=201)


class OneComparison(APIView):
    permission_classes = [Needed]
    needs = {"GET": VIEW}

    @extend_schema(
        operation_id="comparison_retrieve",
        responses={200: ComparisonSerializer, **errors(404)},
    )
    def get(self, request: Request, id: int) -> Response:
        """Two models on the same test images: paired differences with intervals, and where they disagree."""
        related = Comparison.objects.select_related("candidate", "live")
        return Response(ComparisonSerializer(get_object_or_404(related, id=id)).data)
