"""The API of training runs, the retraining schedule, comparisons, recalibrations, promoting and rolling back."""

from django.shortcuts import get_object_or_404
from django.urls import reverse
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.decorators import action
from rest_framework.mixins import ListModelMixin, RetrieveModelMixin
from rest_framework.request import Request
from rest_framework.response import Response

from classifier.core.api.permissions import HasPermission
from classifier.core.api.schema import BODY, errors
from classifier.core.api.serializers import validate
from classifier.core.api.viewsets import ViewSet
from classifier.core.permissions import PROMOTE, TRAIN, VIEW
from classifier.datasets.models import DatasetVersion
from classifier.registry.api import (
    DecisionSerializer,
    PromotionRequestSerializer,
    PromotionSerializer,
    promotion_data,
)
from classifier.registry.models import ModelVersion, Promotion, PromotionRequest
from classifier.training.api.serializers import (
    ComparisonSerializer,
    NewScheduleSerializer,
    NewTrainingRunSerializer,
    OneTrainingRunSerializer,
    RecalibrationSerializer,
    ScheduleSerializer,
    TrainingRunSerializer,
)
from classifier.training.models import (
    Comparison,
    Recalibration,
    RetrainingSchedule,
    TrainingRun,
    TrainingRunQuerySet,
)
from classifier.training.promotions import promote_version, roll_back
from classifier.training.services import (
    cancel_training,
    request_comparison,
    request_recalibration,
    request_training,
    set_schedule,
)


@extend_schema_view(
    list=extend_schema(
        operation_id="training_run_list",
        description="Lists all training runs, newest first.",
        responses={200: TrainingRunSerializer(many=True), **errors(404)},
    ),
    retrieve=extend_schema(
        operation_id="training_run_retrieve",
        description="Returns one run with its progress, the metrics of each epoch and the end of its log.",
        responses={200: OneTrainingRunSerializer, **errors(404)},
    ),
)
class TrainingRunsViewSet(ListModelMixin, RetrieveModelMixin, ViewSet[TrainingRun]):
    permission_classes = [HasPermission]
    needs = {"list": VIEW, "create": TRAIN, "retrieve": VIEW, "cancel": TRAIN}

    def get_queryset(self) -> TrainingRunQuerySet:
        runs = TrainingRun.objects.select_related("start_version", "created_by")
        if self.action == "list":
            runs = runs.defer("history", "log_tail", "start_version__report")
        return runs.newest_first()

    def get_serializer_class(self) -> type[TrainingRunSerializer]:
        return OneTrainingRunSerializer if self.action == "retrieve" else TrainingRunSerializer

    @extend_schema(
        operation_id="training_run_create",
        request=NewTrainingRunSerializer,
        responses={201: TrainingRunSerializer, **errors(*BODY, 404, 409)},
    )
    def create(self, request: Request) -> Response:
        """Queues a training run. It starts when its turn comes and its data set version is ready."""
        wanted = validate(NewTrainingRunSerializer, request.data)
        dataset = get_object_or_404(DatasetVersion, id=wanted.pop("dataset_version"))
        run = request_training(user=self.user, dataset_version=dataset, **wanted)
        location = reverse("api_training_runs_detail", args=[run.pk])
        return Response(self.get_serializer(run).data, status=201, headers={"Location": location})

    @extend_schema(
        operation_id="training_run_cancel",
        request=None,
        responses={200: TrainingRunSerializer, **errors(404, 409)},
    )
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, id: int) -> Response:
        """Cancels a run: at once if it is queued, within seconds if it is running."""
        run = self.get_object()
        cancel_training(user=self.user, run=run)
        run.refresh_from_db()
        return Response(self.get_serializer(run).data)


class RetrainingScheduleViewSet(ViewSet[RetrainingSchedule]):
    permission_classes = [HasPermission]
    needs = {"retrieve": VIEW, "update": TRAIN}

    @extend_schema(operation_id="schedule_retrieve", responses={200: ScheduleSerializer, **errors(404)})
    def retrieve(self, request: Request) -> Response:
        """Returns when the portal retrains automatically. It never promotes automatically."""
        return Response(ScheduleSerializer(RetrainingSchedule.get()).data)

    @extend_schema(
        operation_id="schedule_set",
        request=NewScheduleSerializer,
        responses={200: ScheduleSerializer, **errors(*BODY, 404)},
    )
    def update(self, request: Request) -> Response:
        """Changes when the portal retrains automatically."""
        wanted = validate(NewScheduleSerializer, request.data)
        return Response(ScheduleSerializer(set_schedule(user=self.user, **wanted)).data)


@extend_schema_view(
    retrieve=extend_schema(
        operation_id="comparison_retrieve",
        description=(
            "Returns how two models compare on the same test images, for each part of the answer that differs: paired "
            "differences with intervals, and where their kinds of fracture disagree."
        ),
        responses={200: ComparisonSerializer, **errors(404)},
    )
)
class ComparisonsViewSet(RetrieveModelMixin, ViewSet[Comparison]):
    queryset = Comparison.objects.select_related("candidate", "live")
    serializer_class = ComparisonSerializer
    permission_classes = [HasPermission]
    needs = {"retrieve": VIEW}


@extend_schema_view(
    list=extend_schema(
        operation_id="recalibration_list",
        description="Lists all recalibrations, newest first.",
        responses={200: RecalibrationSerializer(many=True), **errors(404)},
    ),
    retrieve=extend_schema(
        operation_id="recalibration_retrieve",
        description="Returns one recalibration with its progress, and the figures before and after.",
        responses={200: RecalibrationSerializer, **errors(404)},
    ),
)
class RecalibrationsViewSet(ListModelMixin, RetrieveModelMixin, ViewSet[Recalibration]):
    queryset = (
        Recalibration.objects.select_related("start_version", "made_version", "created_by")
        .defer(
            *(
                f"{version}__{field}"
                for version in ("start_version", "made_version")
                for field in ("report", "card")
            )
        )
        .newest_first()
    )
    serializer_class = RecalibrationSerializer
    permission_classes = [HasPermission]
    needs = {"list": VIEW, "create": TRAIN, "retrieve": VIEW}

    @extend_schema(
        operation_id="recalibration_create",
        request=None,
        responses={201: RecalibrationSerializer, **errors(404, 409)},
    )
    def create(self, request: Request) -> Response:
        """Queues a recalibration of the live model's finding on the reviewed X-rays of this portal."""
        recalibration = request_recalibration(user=self.user)
        location = reverse("api_recalibrations_detail", args=[recalibration.pk])
        return Response(self.get_serializer(recalibration).data, status=201, headers={"Location": location})


def _decision(request: Request) -> dict[str, str]:
    wanted = validate(DecisionSerializer, request.data)
    return {"reason": wanted["reason"], "seen_live": str(wanted.get("live", ""))}


# What training adds to the addresses of model versions.
class CandidatesViewSet(ViewSet[ModelVersion]):
    queryset = ModelVersion.objects.all()
    lookup_field = "number"
    permission_classes = [HasPermission]
    needs = {"promote": PROMOTE, "compare": TRAIN}

    @extend_schema(
        operation_id="model_version_promote",
        request=DecisionSerializer,
        responses={201: PromotionSerializer, 202: PromotionRequestSerializer, **errors(*BODY, 404, 409)},
    )
    @action(detail=True, methods=["post"])
    def promote(self, request: Request, number: int) -> Response:
        """Makes a model version live (201), or asks a second person to confirm that (202).

        The gate objects unless a comparison on the same test images rules out that a part of the answer is worse than
        that of the live model by more than a margin. Then a reason is required: at least 20 characters in at least 4
        words.
        """
        decision = _decision(request)
        result = promote_version(user=self.user, version=self.get_object(), **decision)
        if isinstance(result, PromotionRequest):
            location = reverse("api_promotion_requests_detail", args=[result.pk])
            answer = PromotionRequestSerializer(result).data
            return Response(answer, status=202, headers={"Location": location})
        return Response(promotion_data(result), status=201)

    @extend_schema(
        operation_id="model_version_compare",
        request=None,
        responses={201: ComparisonSerializer, **errors(404, 409)},
    )
    @action(detail=True, methods=["post"])
    def compare(self, request: Request, number: int) -> Response:
        """Queues a comparison with the live model on the largest frozen test set that both can be judged on."""
        comparison = request_comparison(user=self.user, candidate=self.get_object())
        return Response(ComparisonSerializer(comparison).data, status=201)


class RollBackViewSet(ViewSet[Promotion]):
    permission_classes = [HasPermission]
    needs = {"create": PROMOTE}

    @extend_schema(
        operation_id="promotion_roll_back",
        request=DecisionSerializer,
        responses={201: PromotionSerializer, **errors(*BODY, 404, 409)},
    )
    def create(self, request: Request) -> Response:
        """Makes the previous live version live again.

        Send `live`: without it, a request that is repeated rolls back twice.
        """
        promotion = roll_back(user=self.user, **_decision(request))
        return Response(promotion_data(promotion), status=201)
