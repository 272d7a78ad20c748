from typing import Any

from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from classifier.core.api.permissions import HasPermission
from classifier.core.api.schema import errors
from classifier.core.api.serializers import NullableCharField, StrictCharField
from classifier.core.permissions import VIEW
from classifier.registry.models import ModelVersion, ModelVersionQuerySet, Promotion, PromotionQuerySet


class ModelVersionSerializer(serializers.ModelSerializer[ModelVersion]):
    classes = serializers.ListField(child=serializers.CharField())
    training_run = serializers.IntegerField(source="training_run.id", default=None, allow_null=True)
    dataset_version = serializers.IntegerField(
        source="training_run.dataset_version_id", default=None, allow_null=True
    )
    recipe = serializers.CharField(source="training_run.recipe", default=None, allow_null=True)
    created_by = serializers.CharField(source="created_by.username", default=None, allow_null=True)
    code_version = NullableCharField(help_text="The version of Callus that trained it.")
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


class ModelVersions(ListAPIView[ModelVersion]):
    serializer_class = ModelVersionSerializer
    permission_classes = [HasPermission]
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
    permission_classes = [HasPermission]
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


class PromotionSerializer(serializers.ModelSerializer[Promotion]):
    model_version = serializers.IntegerField(source="model_version.number")
    promoted_by = serializers.CharField(source="promoted_by.username", default=None, allow_null=True)
    comparison = serializers.IntegerField(source="comparison_id", allow_null=True)
    objection = NullableCharField(help_text="What spoke against it.")
    reason = NullableCharField(help_text="Why it was done.")

    class Meta:
        model = Promotion
        fields = [
            "id",
            "kind",
            "model_version",
            "promoted_by",
            "comparison",
            "objection",
            "reason",
            "created_at",
        ]


class ReasonSerializer(serializers.Serializer[Any]):
    reason = StrictCharField(required=False, allow_blank=True, max_length=500, default="")


class Promotions(ListAPIView[Promotion]):
    serializer_class = PromotionSerializer
    permission_classes = [HasPermission]
    needs = {"GET": VIEW}

    @extend_schema(
        operation_id="promotion_list",
        responses={200: PromotionSerializer(many=True), **errors(404)},
    )
    def get(self, request: Request) -> Response:
        """Which version was live from when, and who decided; the first is live now."""
        return self.list(request)

    def get_queryset(self) -> PromotionQuerySet:
        related = Promotion.objects.select_related("model_version", "promoted_by")
        return related.defer("model_version__report", "model_version__card").newest_first()
