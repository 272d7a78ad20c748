from pathlib import PurePath
from typing import Any
from uuid import UUID

from django.core.files.storage import default_storage
from django.http import FileResponse, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.cache import get_conditional_response
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.generics import ListAPIView
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from classifier.core.api.errors import NOTHING_HERE
from classifier.core.api.schema import BODY, errors
from classifier.radiographs.api.examples import PREDICTION_EXAMPLES, RADIOGRAPH_EXAMPLE
from classifier.radiographs.api.serializers import (
    PredictionSerializer,
    RadiographFilterSerializer,
    RadiographSerializer,
    UploadSerializer,
)
from classifier.radiographs.models import Prediction, PredictionBatch, Radiograph, RadiographQuerySet
from classifier.radiographs.services import MAX_SELECTION, predict_again, receive_radiograph, trash_radiograph


class Radiographs(ListAPIView[Radiograph]):
    serializer_class = RadiographSerializer
    parser_classes = [MultiPartParser]

    @extend_schema(
        operation_id="radiograph_list",
        parameters=[RadiographFilterSerializer],
        responses={200: RadiographSerializer(many=True), **errors(400, 404)},
        examples=[RADIOGRAPH_EXAMPLE],
    )
    def get(self, request: Request) -> Response:
        """Your own radiographs, newest first, fifty a page."""
        return self.list(request)

    def get_queryset(self) -> RadiographQuerySet:
        wanted = RadiographFilterSerializer(data=self.request.query_params.dict())
        wanted.is_valid(raise_exception=True)
        found = Radiograph.objects.search(self.request.user, **wanted.validated_data)
        return found.newest_first().with_predictions()

    @extend_schema(
        operation_id="radiograph_create",
        request={"multipart/form-data": UploadSerializer},
        responses={201: RadiographSerializer, **errors(*BODY, 507)},
        examples=[RADIOGRAPH_EXAMPLE],
    )
    def post(self, request: Request) -> Response:
        """Send an X-ray. It is classified in the background: ask for its prediction until that is finished."""
        sent = UploadSerializer(data=request.data)
        sent.is_valid(raise_exception=True)
        owner: Any = request.user
        radiograph = receive_radiograph(owner=owner, upload=sent.validated_data["file"])
        where = reverse("api_radiograph", args=[radiograph.id])
        return Response(
            RadiographSerializer(radiograph, context={"request": request}).data,
            status=201,
            headers={"Location": where},
        )


class OneRadiograph(APIView):
    @extend_schema(
        operation_id="radiograph_retrieve",
        responses={200: RadiographSerializer, **errors(404)},
        examples=[RADIOGRAPH_EXAMPLE],
    )
    def get(self, request: Request, id: UUID) -> Response:
        radiograph = _visible(request, id, Radiograph.objects.with_predictions())
        return Response(RadiographSerializer(radiograph, context={"request": request}).data)

    @extend_schema(operation_id="radiograph_delete", responses={204: None, **errors(404)})
    def delete(self, request: Request, id: UUID) -> Response:
        """Put it into the trash, where its owner can restore it on the page; then it is gone for good."""
        own = Radiograph.objects.owned_by(request.user)
        trash_radiograph(radiograph=get_object_or_404(own, id=id))
        return Response(status=204)


class Image(APIView):
    @extend_schema(
        operation_id="radiograph_image",
        responses={(200, "image/png"): OpenApiTypes.BINARY, **errors(404)},
    )
    def get(self, request: Request, id: UUID) -> HttpResponseBase:
        """The X-ray as a PNG: upright, without EXIF and without DICOM header."""
        radiograph = _visible(request, id)
        return _file(request, radiograph, str(radiograph.image), "image/png")


class Thumbnail(APIView):
    @extend_schema(
        operation_id="radiograph_thumbnail",
        responses={(200, "image/jpeg"): OpenApiTypes.BINARY, **errors(404)},
    )
    def get(self, request: Request, id: UUID) -> HttpResponseBase:
        """A small JPEG of the X-ray."""
        radiograph = _visible(request, id)
        return _file(request, radiograph, str(radiograph.thumbnail), "image/jpeg")


def _visible(request: Request, id: UUID, radiographs: RadiographQuerySet | None = None) -> Radiograph:
    known = Radiograph.objects.all() if radiographs is None else radiographs
    radiograph = known.get_visible(request.user, id)
    if radiograph is None:
        raise NotFound(NOTHING_HERE)
    return radiograph


def _file(request: Request, radiograph: Radiograph, path: str, content_type: str) -> HttpResponseBase:
    # The file of an id never changes, but who asks may: a browser asks each time, and is told "not modified".
    etag = f'"{PurePath(path).name}"'
    headers = {"ETag": etag, "Cache-Control": "private, no-cache", "Vary": "Authorization, Cookie"}
    fresh = HttpResponse(headers=headers)
    answer = get_conditional_response(request._request, etag=etag, response=fresh)
    if answer is not None and answer is not fresh:
        return answer
    try:
        file = default_storage.open(path)
    except FileNotFoundError:
        raise NotFound("The file of this radiograph is missing.") from None
    name = PurePath(radiograph.name_for(request.user)).stem + PurePath(path).suffix
    # Said outright: Django would guess it from the name, which the person chose.
    return FileResponse(file, filename=name, headers=headers, content_type=content_type)


class OnePrediction(APIView):
    @extend_schema(
        operation_id="prediction_retrieve",
        responses={200: PredictionSerializer, **errors(404)},
        examples=PREDICTION_EXAMPLES,
    )
    def get(self, request: Request, id: UUID) -> Response:
        """One model version's answer for one radiograph. It is finished when succeeded or failed.

        No answer is a diagnosis. The model tells kinds of fracture apart; it cannot say that a bone is whole.
        """
        long = ("saliency", "model_version__card", "model_version__report")
        slim = Prediction.objects.select_related("model_version").defer(*long)
        prediction = slim.get_visible(request.user, id)
        if prediction is None:
            raise NotFound(NOTHING_HERE)
        return Response(PredictionSerializer(prediction).data)


class NewPredictionBatchSerializer(serializers.Serializer[Any]):
    radiographs = serializers.ListField(
        child=serializers.UUIDField(), min_length=1, max_length=MAX_SELECTION, help_text="Their ids."
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
