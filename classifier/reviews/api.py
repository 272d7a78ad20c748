"""The API of reviews and the worklist."""

from typing import Any

from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.mixins import ListModelMixin
from rest_framework.request import Request
from rest_framework.response import Response

from classifier.core.api.pagination import CappedPagination, NewestFirstPagination
from classifier.core.api.permissions import HasPermission
from classifier.core.api.schema import BODY, errors
from classifier.core.api.serializers import (
    ClassFieldMixin,
    NullableCharField,
    NullableChoiceField,
    StrictCharField,
    StrictFloatField,
    StrictSerializer,
    validate,
)
from classifier.core.api.viewsets import ViewSet
from classifier.core.permissions import ADJUDICATE, REVIEW
from classifier.radiographs.models import Prediction, PredictionQuerySet
from classifier.reviews.models import Review, ReviewQuerySet
from classifier.reviews.services import MAX_BOXES, adjudicate, record_review


class BoxSerializer(StrictSerializer):
    x = StrictFloatField(min_value=0, help_text="Left edge in pixels of the image.")
    y = StrictFloatField(min_value=0, help_text="Top edge in pixels of the image.")
    width = StrictFloatField(min_value=1)
    height = StrictFloatField(min_value=1)


class ReviewSerializer(ClassFieldMixin, serializers.ModelSerializer[Review]):
    radiograph = serializers.UUIDField(source="radiograph_id")
    prediction = serializers.UUIDField(source="prediction_id")
    model_version = serializers.IntegerField(
        source="prediction.model_version.number", help_text="The model version whose prediction was reviewed."
    )
    reviewer = serializers.CharField(source="reviewer.username", default=None, allow_null=True)
    class_ = NullableCharField(source="class_name", help_text="The kind of fracture; null if none is named.")
    boxes = BoxSerializer(many=True)
    is_adjudication = serializers.BooleanField(
        help_text="Whether it decides for all reviewers, who disagreed. Then only this review counts."
    )
    is_superseded = serializers.BooleanField(
        help_text="Whether the same reviewer reviewed the radiograph later, or a later adjudication decided it."
    )
    confirms = serializers.BooleanField(help_text="Whether the review agrees with the prediction.")

    class Meta:
        model = Review
        fields = [
            "id", "radiograph", "prediction", "model_version", "reviewer", "finding", "class_", "boxes",
            "comment", "confirms", "is_adjudication", "is_superseded", "created_at",
        ]  # fmt: skip


class NewReviewSerializer(ClassFieldMixin, StrictSerializer):
    prediction = serializers.UUIDField()
    finding = serializers.ChoiceField(Review.Finding.choices)
    class_ = StrictCharField(
        source="class_name",
        required=False,
        allow_blank=True,
        help_text="The kind of fracture; only with the finding `fracture`.",
    )
    boxes = BoxSerializer(
        many=True,
        required=False,
        # Checked before the boxes are.
        max_length=MAX_BOXES,  # type: ignore[call-arg]
        help_text="Where the fracture is; only with the finding `fracture`.",
    )
    comment = StrictCharField(required=False, allow_blank=True, max_length=2000)


class ReviewFilterSerializer(serializers.Serializer[Any]):
    radiograph = serializers.UUIDField(required=False)


class WorklistFilterSerializer(serializers.Serializer[Any]):
    finding = serializers.ChoiceField(Prediction.Finding.choices, required=False, allow_blank=True)


class WorklistSerializer(ClassFieldMixin, serializers.ModelSerializer[Prediction]):
    prediction = serializers.UUIDField(source="id")
    radiograph = serializers.UUIDField(source="radiograph_id")
    name = serializers.SerializerMethodField()
    why = serializers.CharField(source="get_review_rank_display")
    finding = NullableChoiceField(Prediction.Finding.choices)
    class_ = NullableCharField(source="class_name")
    model_version = serializers.IntegerField(source="model_version.number")

    class Meta:
        model = Prediction
        fields = [
            "prediction", "radiograph", "name", "why", "finding", "fracture_probability", "class_", "confidence",
            "abstained", "in_distribution", "model_version", "created_at",
        ]  # fmt: skip

    def get_name(self, prediction: Prediction) -> str:
        return prediction.radiograph.name_for(self.context["request"].user)


@extend_schema_view(
    list=extend_schema(
        operation_id="review_list",
        description="Lists all reviews, newest first. Of each reviewer, the latest review of a radiograph counts, "
        "or, where the reviewers disagreed, its adjudication.",
        parameters=[ReviewFilterSerializer],
        responses={200: ReviewSerializer(many=True), **errors(400, 404)},
    )
)
class ReviewsViewSet(ListModelMixin, ViewSet[Review]):
    serializer_class = ReviewSerializer
    filter_serializer_class = ReviewFilterSerializer
    pagination_class = NewestFirstPagination
    permission_classes = [HasPermission]
    needs = {"list": REVIEW, "create": REVIEW, "adjudicate": (REVIEW, ADJUDICATE)}

    def get_queryset(self) -> ReviewQuerySet:
        reviews = Review.objects.visible_to(self.user).filter(**self.filters())
        related = reviews.select_related("prediction__model_version", "reviewer")
        return related.defer("prediction__model_version__report").newest_first()

    @extend_schema(
        operation_id="review_create",
        request=NewReviewSerializer,
        responses={201: ReviewSerializer, **errors(*BODY, 404, 409)},
    )
    def create(self, request: Request) -> Response:
        """Records what you see on a radiograph. To change your finding, send another review."""
        review = record_review(reviewer=self.user, **self._read(request))
        return Response(ReviewSerializer(review).data, status=201)

    @extend_schema(
        operation_id="review_adjudicate",
        request=NewReviewSerializer,
        responses={201: ReviewSerializer, **errors(*BODY, 404, 409)},
    )
    @action(detail=False, methods=["post"])
    def adjudicate(self, request: Request) -> Response:
        """Decides a disagreement of the reviewers. From then on, only the decision counts."""
        decision = adjudicate(adjudicator=self.user, **self._read(request))
        return Response(ReviewSerializer(decision).data, status=201)

    def _read(self, request: Request) -> dict[str, Any]:
        said = validate(NewReviewSerializer, request.data)
        visible = Prediction.objects.visible_to(self.user).select_related("radiograph", "model_version")
        return {**said, "prediction": get_object_or_404(visible, id=said["prediction"])}


@extend_schema_view(
    list=extend_schema(
        operation_id="worklist",
        description=(
            "Lists the predictions that need a review: doubtful findings, then disagreements, then the others. "
            "Within each, the highest probability of a fracture comes first."
        ),
        parameters=[WorklistFilterSerializer],
        responses={200: WorklistSerializer(many=True), **errors(400, 404)},
    )
)
class WorklistViewSet(ListModelMixin, ViewSet[Prediction]):
    serializer_class = WorklistSerializer
    filter_serializer_class = WorklistFilterSerializer
    pagination_class = CappedPagination
    permission_classes = [HasPermission]
    needs = {"list": REVIEW}

    def get_queryset(self) -> PredictionQuerySet:
        related = Prediction.objects.worklist(**self.filters()).select_related("radiograph", "model_version")
        return related.defer("model_version__report", "model_version__card")
