"""The API of model versions and promotions, read-only; see classifier.training.api for promoting."""

from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import serializers
from rest_framework.mixins import ListModelMixin, RetrieveModelMixin

from classifier.core.api.permissions import HasPermission
from classifier.core.api.schema import errors
from classifier.core.api.serializers import (
    NullableCharField,
    StrictCharField,
    StrictIntegerField,
    StrictSerializer,
)
from classifier.core.api.viewsets import ViewSet
from classifier.core.permissions import VIEW
from classifier.registry.models import (
    ModelVersion,
    ModelVersionQuerySet,
    Promotion,
    PromotionQuerySet,
    PromotionRequest,
)


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
    card = serializers.JSONField(
        help_text="The model card: classes, input, calibration, origin, figures and licences."
    )
    report = serializers.JSONField(
        help_text="The evaluation on the frozen test images of its data set version."
    )
    comparison = serializers.SerializerMethodField(
        help_text="The newest comparison with a model that was live then."
    )

    class Meta(ModelVersionSerializer.Meta):
        fields = [*ModelVersionSerializer.Meta.fields, "comparison", "card", "report"]

    def get_comparison(self, version: ModelVersion) -> int | None:
        return version.comparisons.order_by("-id").values_list("id", flat=True).first()


class PromotionSerializer(serializers.ModelSerializer[Promotion]):
    model_version = serializers.IntegerField(source="model_version.number")
    promoted_by = serializers.CharField(source="promoted_by.username", default=None, allow_null=True)
    confirmed_by = serializers.CharField(
        source="confirmed_by.username",
        default=None,
        allow_null=True,
        help_text="The second person, if the promotion gate had an objection.",
    )
    comparison = serializers.IntegerField(
        source="comparison_id", allow_null=True, help_text="The comparison that the gate decided on."
    )
    objection = NullableCharField(help_text="The objection of the promotion gate, if it had one.")
    reason = NullableCharField(help_text="The reason that was given.")

    class Meta:
        model = Promotion
        fields = [
            "id",
            "kind",
            "model_version",
            "promoted_by",
            "confirmed_by",
            "comparison",
            "objection",
            "reason",
            "created_at",
        ]


def promotion_data(promotion: Promotion) -> dict[str, Any]:
    """Returns the answer to a request that made a promotion."""
    return dict(PromotionSerializer(Promotion.objects.with_comparison().get(pk=promotion.pk)).data)


class PromotionRequestSerializer(serializers.ModelSerializer[PromotionRequest]):
    model_version = serializers.IntegerField(source="model_version.number")
    live = serializers.IntegerField(
        source="live.number", help_text="The version that was live when it was requested."
    )
    requested_by = serializers.CharField(source="requested_by.username")
    decided_by = serializers.CharField(
        source="decided_by.username",
        default=None,
        allow_null=True,
        help_text="Who confirmed, declined or withdrew it.",
    )
    lapsed_because = NullableCharField()
    promotion = serializers.IntegerField(source="promotion_id", allow_null=True)

    class Meta:
        model = PromotionRequest
        fields = [
            "id", "state", "model_version", "live", "requested_by", "objection", "reason", "decided_by", "decided_at",
            "lapsed_because", "promotion", "created_at",
        ]  # fmt: skip


class DecisionSerializer(StrictSerializer):
    reason = StrictCharField(required=False, allow_blank=True, max_length=500, default="")
    live = StrictIntegerField(
        required=False,
        min_value=1,
        help_text="The number of the version that you believe to be live. If another one is, nothing is changed (409).",
    )


@extend_schema_view(
    list=extend_schema(
        operation_id="model_version_list",
        description="Lists all model versions, newest first.",
        responses={200: ModelVersionSerializer(many=True), **errors(404)},
    ),
    retrieve=extend_schema(
        operation_id="model_version_retrieve",
        description="Returns one version with its model card and evaluation report.",
        responses={200: OneModelVersionSerializer, **errors(404)},
    ),
)
class ModelVersionsViewSet(ListModelMixin, RetrieveModelMixin, ViewSet[ModelVersion]):
    permission_classes = [HasPermission]
    needs = {"list": VIEW, "retrieve": VIEW}
    lookup_field = "number"

    def get_queryset(self) -> ModelVersionQuerySet:
        versions = ModelVersion.objects.with_is_live().select_related("training_run", "created_by")
        if self.action == "list":
            versions = versions.defer("report", "training_run__history", "training_run__log_tail")
        return versions.newest_first()

    def get_serializer_class(self) -> type[ModelVersionSerializer]:
        return ModelVersionSerializer if self.action == "list" else OneModelVersionSerializer


@extend_schema_view(
    list=extend_schema(
        operation_id="promotion_list",
        description="Lists which version was live from when, and who promoted it; the first one is live now.",
        responses={200: PromotionSerializer(many=True), **errors(404)},
    )
)
class PromotionsViewSet(ListModelMixin, ViewSet[Promotion]):
    serializer_class = PromotionSerializer
    permission_classes = [HasPermission]
    needs = {"list": VIEW}

    def get_queryset(self) -> PromotionQuerySet:
        related = Promotion.objects.select_related("model_version", "promoted_by", "confirmed_by")
        slim = related.defer("model_version__report", "model_version__card")
        return slim.with_comparison().newest_first()
