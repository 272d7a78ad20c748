from typing import Any

from django.shortcuts import get_object_or_404
from django.urls import reverse
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from classifier.api.permissions import Needed
from classifier.api.schema import BODY, errors
from classifier.api.serializers import TextOrNull, Whole
from classifier.models import DatasetVersion, TrainingRun
from classifier.models.train_queue import ahead_of
from classifier.models.training_run import MAX_BATCH_SIZE, MAX_EPOCHS, MAX_SEED, TrainingRunQuerySet
from classifier.permissions import TRAIN, VIEW
from classifier.services.cancel_training import cancel_training
from classifier.services.request_training import request_training
from ml.recipes import RECIPES


class TrainingRunSerializer(serializers.ModelSerializer[TrainingRun]):
    dataset_version = serializers.IntegerField(source="dataset_version_id")
    start_version = serializers.IntegerField(
        source="start_version.number", default=None, allow_null=True, help_text="What `start` meant then."
    )
    created_by = serializers.CharField(source="created_by.username", default=None, allow_null=True)
    is_canceling = serializers.BooleanField()
    error = TextOrNull()

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
    dataset_version = Whole()
    recipe = serializers.ChoiceField(list(RECIPES))
    start = serializers.ChoiceField(TrainingRun.Start.choices)
    epochs = Whole(required=False, allow_null=True, min_value=1, max_value=MAX_EPOCHS)
    batch_size = Whole(required=False, allow_null=True, min_value=1, max_value=MAX_BATCH_SIZE)
    seed = Whole(default=0, min_value=0, max_value=MAX_SEED)


class TrainingRuns(ListAPIView[TrainingRun]):
    serializer_class = TrainingRunSerializer
    permission_classes = [Needed]
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
    permission_classes = [Needed]
    needs = {"GET": VIEW}

    @extend_schema(
        operation_id="training_run_retrieve",
        responses={200: OneTrainingRunSerializer, **errors(404)},
    )
    def get(self, request: Request, id: int) -> Response:
        """One run with its progress, the figures of each epoch, and the end of its log."""
        return Response(OneTrainingRunSerializer(get_object_or_404(TrainingRun, id=id)).data)


class CancelTrainingRun(APIView):
    permission_classes = [Needed]
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
