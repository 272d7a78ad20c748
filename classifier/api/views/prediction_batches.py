from typing import Any

from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from classifier.api.errors import NOTHING_HERE
from classifier.api.schema import BODY, errors
from classifier.models import PredictionBatch, Radiograph
from classifier.services.predict_again import MOST_AT_ONCE, predict_again


class NewPredictionBatchSerializer(serializers.Serializer[Any]):
    radiographs = serializers.ListField(
        child=serializers.UUIDField(), min_length=1, max_length=MOST_AT_ONCE, help_text="Their ids."
    )


class ProgressSerializer(serializers.Serializer[Any]):
    total = serializers.IntegerField()
    done = serializers.IntegerField()
    failed = serializers.IntegerField()
    waiting = serializers.IntegerField()


class PredictionBatchSerializer(serializers.ModelSerializer[PredictionBatch]):
    model_version = serializers.IntegerField(source="model_version.number")
    progress = ProgressSerializer()
    num_known = serializers.IntegerField(help_text="Those that this model had been asked about before.")

    class Meta:
        model = PredictionBatch
        fields = ["id", "model_version", "created_at", "num_known", "progress"]


class PredictionBatches(APIView):
    @extend_schema(
        operation_id="prediction_batch_create",
        request=NewPredictionBatchSerializer,
        responses={201: PredictionBatchSerializer, **errors(*BODY, 404, 409)},
    )
    def post(self, request: Request) -> Response:
        """Ask the live model about radiographs again. Its answers stand beside the earlier ones."""
        sent = NewPredictionBatchSerializer(data=request.data)
        sent.is_valid(raise_exception=True)
        ids = set(sent.validated_data["radiographs"])
        radiographs = list(Radiograph.objects.visible_to(request.user).filter(id__in=ids))
        if len(radiographs) != len(ids):
            raise NotFound(NOTHING_HERE)
        user: Any = request.user
        batch = predict_again(user=user, radiographs=radiographs)
        return Response(PredictionBatchSerializer(batch).data, status=201)


class OnePredictionBatch(APIView):
    @extend_schema(
        operation_id="prediction_batch_retrieve",
        responses={200: PredictionBatchSerializer, **errors(404)},
    )
    def get(self, request: Request, id: int) -> Response:
        """How far it is."""
        user: Any = request.user
        own = PredictionBatch.objects.filter(created_by=user).select_related("model_version")
        return Response(PredictionBatchSerializer(get_object_or_404(own, id=id)).data)
