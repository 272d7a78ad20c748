from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from classifier.api.permissions import Needed
from classifier.api.schema import BODY, errors
from classifier.api.serializers import Text, TextOrNull
from classifier.models import Promotion
from classifier.models.model_version import PromotionQuerySet
from classifier.permissions import PROMOTE, VIEW
from classifier.services.roll_back import roll_back


class PromotionSerializer(serializers.ModelSerializer[Promotion]):
    model_version = serializers.IntegerField(source="model_version.number")
    promoted_by = serializers.CharField(source="promoted_by.username", default=None, allow_null=True)
    comparison = serializers.IntegerField(source="comparison_id", allow_null=True)
    objection = TextOrNull(help_text="What spoke against it.")
    reason = TextOrNull(help_text="Why it was done.")

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
    reason = Text(required=False, allow_blank=True, max_length=500, default="")


class Promotions(ListAPIView[Promotion]):
    serializer_class = PromotionSerializer
    permission_classes = [Needed]
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


class RollBack(APIView):
    permission_classes = [Needed]
    needs = {"POST": PROMOTE}

    @extend_schema(
        operation_id="promotion_roll_back",
        request=ReasonSerializer,
        responses={201: PromotionSerializer, **errors(*BODY, 404, 409)},
    )
    def post(self, request: Request) -> Response:
        """Make the version live again that was live before."""
        sent = ReasonSerializer(data=request.data)
        sent.is_valid(raise_exception=True)
        user: Any = request.user
        promotion = roll_back(user=user, reason=sent.validated_data["reason"])
        return Response(PromotionSerializer(promotion).data, status=201)
