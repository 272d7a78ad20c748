"""The API of radiographs with their pictures, predictions and prediction batches."""

from pathlib import PurePath
from uuid import UUID

from django.db.models import QuerySet
from django.db.models.fields.files import FieldFile
from django.http import Http404
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404
from django.urls import reverse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.decorators import action
from rest_framework.exceptions import NotFound
from rest_framework.mixins import ListModelMixin, RetrieveModelMixin
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from classifier.core.api.schema import BODY, errors
from classifier.core.api.serializers import validate
from classifier.core.api.viewsets import ViewSet
from classifier.core.pictures import picture
from classifier.radiographs.api.examples import PREDICTION_EXAMPLES, RADIOGRAPH_EXAMPLE
from classifier.radiographs.api.serializers import (
    NewPredictionBatchSerializer,
    PredictionBatchSerializer,
    PredictionSerializer,
    RadiographFilterSerializer,
    RadiographSerializer,
    UploadSerializer,
)
from classifier.radiographs.models import (
    Prediction,
    PredictionBatch,
    Radiograph,
    RadiographQuerySet,
)
from classifier.radiographs.services import (
    check_one_file,
    predict_again,
    receive_radiograph,
    record_view,
    trash_radiograph,
)


@extend_schema_view(
    list=extend_schema(
        operation_id="radiograph_list",
        description="Lists your own radiographs, newest first, fifty a page.",
        parameters=[RadiographFilterSerializer],
        responses={200: RadiographSerializer(many=True), **errors(404)},
        examples=[RADIOGRAPH_EXAMPLE],
    ),
    retrieve=extend_schema(
        operation_id="radiograph_retrieve",
        description="Returns one radiograph with the state of its newest prediction.",
        responses={200: RadiographSerializer, **errors(404)},
        examples=[RADIOGRAPH_EXAMPLE],
    ),
)
class RadiographsViewSet(ListModelMixin, RetrieveModelMixin, ViewSet[Radiograph]):
    serializer_class = RadiographSerializer
    filter_serializer_class = RadiographFilterSerializer
    parser_classes = [MultiPartParser]
    lookup_value_converter = "uuid"

    def get_queryset(self) -> RadiographQuerySet:
        return Radiograph.objects.search(self.user, **self.filters()).newest_first().with_predictions()

    def get_object(self) -> Radiograph:
        return self._visible(Radiograph.objects.with_predictions())

    @extend_schema(
        operation_id="radiograph_create",
        request={"multipart/form-data": UploadSerializer},
        responses={201: RadiographSerializer, **errors(*BODY, 507)},
        examples=[RADIOGRAPH_EXAMPLE],
    )
    def create(self, request: Request) -> Response:
        """Stores an X-ray and queues its prediction.

        Ask for the prediction until its state is `succeeded` or `failed`.
        """
        check_one_file(request.FILES)
        upload = validate(UploadSerializer, request.data)["file"]
        radiograph = receive_radiograph(owner=self.user, upload=upload)
        location = reverse("api_radiographs_detail", args=[radiograph.id])
        return Response(self.get_serializer(radiograph).data, status=201, headers={"Location": location})

    @extend_schema(operation_id="radiograph_delete", responses={204: None, **errors(404)})
    def destroy(self, request: Request, id: UUID) -> Response:
        """Moves a radiograph to the trash.

        Its owner can restore it in the portal until it is deleted permanently.
        """
        own = Radiograph.objects.owned_by(self.user)
        trash_radiograph(radiograph=get_object_or_404(own, id=id))
        return Response(status=204)

    @extend_schema(
        operation_id="radiograph_image",
        responses={(200, "image/png"): OpenApiTypes.BINARY, **errors(404)},
    )
    @action(detail=True)
    def image(self, request: Request, id: UUID) -> HttpResponseBase:
        """Returns the X-ray as a PNG: upright, without EXIF data and without DICOM header."""
        radiograph = self._visible(Radiograph.objects.all())
        record_view(user=self.user, radiograph=radiograph)
        return self._picture(radiograph, radiograph.image, "image/png")

    @extend_schema(
        operation_id="radiograph_thumbnail",
        responses={(200, "image/jpeg"): OpenApiTypes.BINARY, **errors(404)},
    )
    @action(detail=True)
    def thumbnail(self, request: Request, id: UUID) -> HttpResponseBase:
        """Returns a small JPEG of the X-ray."""
        radiograph = self._visible(Radiograph.objects.all())
        return self._picture(radiograph, radiograph.thumbnail, "image/jpeg")

    def _visible(self, radiographs: RadiographQuerySet) -> Radiograph:
        """Returns the radiograph that the address names.

        Raises:
            Http404: it does not exist, or the user may not see it.
        """
        radiograph = radiographs.get_visible(self.user, self.kwargs["id"])
        if radiograph is None:
            raise Http404
        return radiograph

    def _picture(self, radiograph: Radiograph, file: FieldFile, content_type: str) -> HttpResponseBase:
        stored = PurePath(str(file))
        name = PurePath(radiograph.name_for(self.user)).stem + stored.suffix
        try:
            return picture(self.request._request, file.open, stored.name, name, content_type)
        except Http404:
            raise NotFound("The file of this radiograph is missing.") from None


class PredictionsViewSet(ViewSet[Prediction]):
    serializer_class = PredictionSerializer
    lookup_value_converter = "uuid"

    @extend_schema(
        operation_id="prediction_retrieve",
        responses={200: PredictionSerializer, **errors(404)},
        examples=PREDICTION_EXAMPLES,
    )
    def retrieve(self, request: Request, id: UUID) -> Response:
        """Returns one model version's answer for one radiograph. It is final when its state is succeeded or failed.

        A prediction is not a diagnosis, and it cannot rule out a fracture.
        """
        long = ("model_version__card", "model_version__report")
        slim = Prediction.objects.select_related("model_version").defer(*long)
        prediction = slim.get_visible(self.user, id)
        if prediction is None:
            raise Http404
        return Response(self.get_serializer(prediction).data)


@extend_schema_view(
    retrieve=extend_schema(
        operation_id="prediction_batch_retrieve",
        description="Returns the progress of a batch.",
        responses={200: PredictionBatchSerializer, **errors(404)},
    )
)
class PredictionBatchesViewSet(RetrieveModelMixin, ViewSet[PredictionBatch]):
    serializer_class = PredictionBatchSerializer

    def get_queryset(self) -> QuerySet[PredictionBatch]:
        return PredictionBatch.objects.filter(created_by=self.user).select_related("model_version")

    @extend_schema(
        operation_id="prediction_batch_create",
        request=NewPredictionBatchSerializer,
        responses={201: PredictionBatchSerializer, **errors(*BODY, 404, 409)},
    )
    def create(self, request: Request) -> Response:
        """Asks the live model about radiographs again. Earlier predictions are kept."""
        ids = set(validate(NewPredictionBatchSerializer, request.data)["radiographs"])
        radiographs = list(Radiograph.objects.visible_to(self.user).filter(id__in=ids))
        if len(radiographs) != len(ids):
            raise Http404
        batch = predict_again(user=self.user, radiographs=radiographs)
        return Response(self.get_serializer(batch).data, status=201)
