"""The API of requests for promotions, which a second person confirms or declines."""

from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.decorators import action
from rest_framework.mixins import ListModelMixin, RetrieveModelMixin
from rest_framework.request import Request
from rest_framework.response import Response

from classifier.core.api.permissions import HasPermission
from classifier.core.api.schema import errors
from classifier.core.api.viewsets import ViewSet
from classifier.core.permissions import PROMOTE, VIEW
from classifier.registry.api import PromotionRequestSerializer, PromotionSerializer, promotion_data
from classifier.registry.models import PromotionRequest
from classifier.training.promotions import confirm_promotion, decline_promotion


@extend_schema_view(
    list=extend_schema(
        operation_id="promotion_request_list",
        description="Lists all requests for promotions to which the gate objects, newest first.",
        responses={200: PromotionRequestSerializer(many=True), **errors(404)},
    ),
    retrieve=extend_schema(
        operation_id="promotion_request_retrieve",
        description="Returns one request with the objection, the reason, and who decided it.",
        responses={200: PromotionRequestSerializer, **errors(404)},
    ),
)
class PromotionRequestsViewSet(ListModelMixin, RetrieveModelMixin, ViewSet[PromotionRequest]):
    queryset = (
        PromotionRequest.objects.select_related("model_version", "live", "requested_by", "decided_by")
        .defer(
            *(f"{version}__{field}" for version in ("model_version", "live") for field in ("report", "card"))
        )
        .newest_first()
    )
    serializer_class = PromotionRequestSerializer
    permission_classes = [HasPermission]
    needs = {"list": VIEW, "retrieve": VIEW, "confirm": PROMOTE, "decline": PROMOTE}

    @extend_schema(
        operation_id="promotion_request_confirm",
        request=None,
        responses={201: PromotionSerializer, **errors(404, 409)},
    )
    @action(detail=True, methods=["post"])
    def confirm(self, request: Request, id: int) -> Response:
        """Makes the requested version live. The person who asked for it cannot confirm it (409)."""
        promotion = confirm_promotion(user=self.user, request=self.get_object())
        return Response(promotion_data(promotion), status=201)

    @extend_schema(
        operation_id="promotion_request_decline",
        request=None,
        responses={200: PromotionRequestSerializer, **errors(404, 409)},
    )
    @action(detail=True, methods=["post"])
    def decline(self, request: Request, id: int) -> Response:
        """Declines the request, or withdraws it if you asked for it."""
        declined = decline_promotion(user=self.user, request=self.get_object())
        return Response(self.get_serializer(declined).data)
