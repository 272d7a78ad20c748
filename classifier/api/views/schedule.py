from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from classifier.api.permissions import Needed
from classifier.api.schema import BODY, errors
from classifier.api.serializers import TextOrNull, Whole
from classifier.models import RetrainingSchedule
from classifier.models.schedule import MAX_REVIEWS
from classifier.permissions import TRAIN, VIEW
from classifier.services.set_schedule import set_schedule
from ml.recipes import RECIPES


class ScheduleSerializer(serializers.ModelSerializer[RetrainingSchedule]):
    recipe = TextOrNull()
    last_outcome = TextOrNull()

    class Meta:
        model = RetrainingSchedule
        fields = ["mode", "num_reviews", "recipe", "last_at", "last_outcome"]


class NewScheduleSerializer(serializers.Serializer[Any]):
    mode = serializers.ChoiceField(RetrainingSchedule.Mode.choices)
    num_reviews = Whole(default=100, min_value=1, max_value=MAX_REVIEWS)
    recipe = serializers.ChoiceField(list(RECIPES), default="top")


class Schedule(APIView):
    permission_classes = [Needed]
    needs = {"GET": VIEW, "PUT": TRAIN}

    @extend_schema(operation_id="schedule_retrieve", responses={200: ScheduleSerializer, **errors(404)})
    def get(self, request: Request) -> Response:
        """When Callus retrains by itself. It never promotes by itself."""
        return Response(ScheduleSerializer(RetrainingSchedule.get()).data)

    @extend_schema(
        operation_id="schedule_set",
        request=NewScheduleSerializer,
        responses={200: ScheduleSerializer, **errors(*BODY, 404)},
    )
    def put(self, request: Request) -> Response:
        sent = NewScheduleSerializer(data=request.data)
        sent.is_valid(raise_exception=True)
        user: Any = request.user
        return Response(ScheduleSerializer(set_schedule(user=user, **sent.validated_data)).data)
