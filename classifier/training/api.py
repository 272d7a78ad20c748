from typing import Any

from django.shortcuts import get_object_or_404
from django.urls import reverse
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from classifier.core.api.permissions import HasPermission
from classifier.core.api.schema import BODY, errors
from classifier.core.api.serializers import NullableCharField, StrictIntegerField
from classifier.core.permissions import PROMOTE, TRAIN, VIEW
from classifier.core.queue import ahead_of
from classifier.datasets.models import DatasetVersion
from classifier.registry.api import PromotionSerializer, ReasonSerializer
from classifier.registry.models import ModelVersion
from classifier.training.models import (
    MAX_BATCH_SIZE,
    MAX_EPOCHS,
    MAX_REVIEWS,
    MAX_SEED,
    Comparison,
    RetrainingSchedule,
    TrainingRun,
    TrainingRunQuerySet,
)
from classifier.training.services import (
    cancel_training,
    promote_version,
    request_comparison,
    request_training,
    roll_back,
    set_schedule,
)
from ml.networks.recipes import RECIPES


class TrainingRunSerializer(serializers.ModelSerializer[TrainingRun]):
    dataset_version = serializers.IntegerField(source="dataset_version_id")
    start_version = serializers.IntegerField(
        source="start_version.number", default=None, allow_null=True, help_text="What `start` meant then."
    )
    created_by = serializers.CharField(source="created_by.username", default=None, allow_null=True)
    is_canceling = serializers.BooleanField()
    error = NullableCharField()

    class Meta:
        model = TrainingRun
        fields = [
            "id", "state", "dataset_version", "recipe", "start", "start_version", "epochs_asked", "batch_size",
            "seed", "created_by", "created_at", "started_at", "finished_at", "is_canceling", "phase", "epoch",
            "epochs", "step", "steps", "seconds_left", "error",
        ]  # fmt: skip


class OneTrainingRunSerializer(TrainingRunSerializer):
    model_version = serializers.IntegerField(
        source="model_version.number", default=None, allow_null=True, help_text="What came out of it."
    )
    waits_for = serializers.SerializerMethodField(help_text="While it is queued: what comes before it.")
    history = serializers.JSONField(help_text="Figures of each epoch.")

    class Meta(TrainingRunSerializer.Meta):
        fields = [*TrainingRunSerializer.Meta.fields, "model_version", "waits_for", "history", "log_tail"]

    def get_waits_for(self, run: TrainingRun) -> list[str]:
        return [str(work) for work in ahead_of(run)]


class NewTrainingRunSerializer(serializers.Serializer[Any]):
    dataset_version = StrictIntegerField()
    recipe = serializers.ChoiceField(list(RECIPES))
    start = serializers.ChoiceField(TrainingRun.Start.choices)
    epochs = StrictIntegerField(required=False, allow_null=True, min_value=1, max_value=MAX_EPOCHS)
    batch_size = StrictIntegerField(required=False, allow_null=True, min_value=1, max_value=MAX_BATCH_SIZE)
    seed = StrictIntegerField(default=0, min_value=0, max_value=MAX_SEED)


class TrainingRuns(ListAPIView[TrainingRun]):
    serializer_class = TrainingRunSerializer
    permission_classes = [HasPermission]
    needs = {"GET": VIEW, "POST": TRAIN}

    @extend_schema(
        operation_id="training_run_list",
        responses={200: TrainingRunSerializer(many=True), **errors(404)},
    )
    def get(self, request: Request) -> Response:
        """All training runs, newest first."""
        return self.list(request)

    def get_queryset(self) -> TrainingRunQuerySet:
        related = TrainingRun.objects.select_related("start_version", "created_by")
        return related.defer("history", "log_tail", "start_version__report").newest_first()

    @extend_schema(
        operation_id="training_run_create",
        request=NewTrainingRunSerializer,
        responses={201: TrainingRunSerializer, **errors(*BODY, 404, 409)},
    )
    def post(self, request: Request) -> Response:
        """Start a run. It waits in the queue for its turn, and for its data set version to be ready."""
        sent = NewTrainingRunSerializer(data=request.data)
        sent.is_valid(raise_exception=True)
        wanted = dict(sent.validated_data)
        dataset = get_object_or_404(DatasetVersion, id=wanted.pop("dataset_version"))
        user: Any = request.user
        run = request_training(user=user, dataset_version=dataset, **wanted)
        where = reverse("api_training_run", args=[run.pk])
        return Response(TrainingRunSerializer(run).data, status=201, headers={"Location": where})


class OneTrainingRun(APIView):
    permission_classes = [HasPermission]
    needs = {"GET": VIEW}

    @extend_schema(
        operation_id="training_run_retrieve",
        responses={200: OneTrainingRunSerializer, **errors(404)},
    )
    def get(self, request: Request, id: int) -> Response:
        """One run with its progress, the figures of each epoch, and the end of its log."""
        return Response(OneTrainingRunSerializer(get_object_or_404(TrainingRun, id=id)).data)


class CancelTrainingRun(APIView):
    permission_classes = [HasPermission]
    needs = {"POST": TRAIN}

    @extend_schema(
        operation_id="training_run_cancel",
        request=None,
        responses={200: TrainingRunSerializer, **errors(404, 409)},
    )
    def post(self, request: Request, id: int) -> Response:
        """Stop a run: at once if it waits, within seconds if it runs."""
        user: Any = request.user
        run = get_object_or_404(TrainingRun, id=id)
        cancel_training(user=user, run=run)
        run.refresh_from_db()
        return Response(TrainingRunSerializer(run).data)


class ScheduleSerializer(serializers.ModelSerializer[RetrainingSchedule]):
    recipe = NullableCharField()
    last_outcome = NullableCharField()

    class Meta:
        model = RetrainingSchedule
        fields = ["mode", "num_reviews", "recipe", "last_at", "last_outcome"]


class NewScheduleSerializer(serializers.Serializer[Any]):
    mode = serializers.ChoiceField(RetrainingSchedule.Mode.choices)
    num_reviews = StrictIntegerField(default=100, min_value=1, max_value=MAX_REVIEWS)
    recipe = serializers.ChoiceField(list(RECIPES), default="top")


class Schedule(APIView):
    permission_classes = [HasPermission]
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


class ComparisonSerializer(serializers.ModelSerializer[Comparison]):
    candidate = serializers.IntegerField(source="candidate.number")
    live = serializers.IntegerField(source="live.number")
    dataset_version = serializers.IntegerField(source="dataset_version_id")
    verdict = NullableCharField()
    test_checksum = NullableCharField(help_text="Of the test images that both were measured on.")
    error = NullableCharField()

    class Meta:
        model = Comparison
        fields = [
            "id", "state", "candidate", "live", "dataset_version", "verdict", "num_images", "num_left_out",
            "is_origin_known", "test_checksum", "result", "created_at", "finished_at", "error",
        ]  # fmt: skip


class PromoteModelVersion(APIView):
    permission_classes = [HasPermission]
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
    permission_classes = [HasPermission]
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
    permission_classes = [HasPermission]
    needs = {"GET": VIEW}

    @extend_schema(
        operation_id="comparison_retrieve",
        responses={200: ComparisonSerializer, **errors(404)},
    )
    def get(self, request: Request, id: int) -> Response:
        """Two models on the same test images: paired differences with intervals, and where they disagree."""
        related = Comparison.objects.select_related("candidate", "live")
        return Response(ComparisonSerializer(get_object_or_404(related, id=id)).data)


class RollBack(APIView):
    permission_classes = [HasPermission]
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
