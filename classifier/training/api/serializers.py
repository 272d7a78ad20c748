"""Serializers of training runs, the retraining schedule, comparisons and recalibrations."""

from typing import Any

from drf_spectacular.drainage import set_override
from rest_framework import serializers

from classifier.core.api.serializers import NullableCharField, StrictIntegerField, StrictSerializer
from classifier.core.queued_work import ahead_of
from classifier.training.models import (
    MAX_BATCH_SIZE,
    MAX_EPOCHS,
    MAX_REVIEWS,
    MAX_SEED,
    Comparison,
    Recalibration,
    RetrainingSchedule,
    TrainingRun,
)
from ml.networks.finding_recipes import RETRAINING_RECIPES
from ml.networks.recipes import DEFAULT_RECIPE, RECIPES


class ParameterField(StrictIntegerField):
    """An integer whose limits the OpenAPI schema shows; the service checks them."""

    def __init__(self, lowest: int, highest: int, **options: Any) -> None:
        super().__init__(**options)
        set_override(self, "field", {"type": "integer", "minimum": lowest, "maximum": highest})


class TrainingRunSerializer(serializers.ModelSerializer[TrainingRun]):
    dataset_version = serializers.IntegerField(source="dataset_version_id")
    start_version = serializers.IntegerField(
        source="start_version.number",
        default=None,
        allow_null=True,
        help_text="The model version that the run starts from.",
    )
    created_by = serializers.CharField(source="created_by.username", default=None, allow_null=True)
    trains_finding = serializers.BooleanField(
        help_text="Whether the run trains the finding; otherwise it trains the kind of fracture."
    )
    is_canceling = serializers.BooleanField()
    error = NullableCharField()

    class Meta:
        model = TrainingRun
        fields = [
            "id", "state", "dataset_version", "recipe", "trains_finding", "start", "start_version", "epochs_asked",
            "batch_size", "seed", "created_by", "created_at", "started_at", "finished_at", "is_canceling", "phase",
            "epoch", "epochs", "step", "steps", "seconds_left", "error",
        ]  # fmt: skip


class OneTrainingRunSerializer(TrainingRunSerializer):
    model_version = serializers.IntegerField(
        source="model_version.number",
        default=None,
        allow_null=True,
        help_text="The model version that the run made.",
    )
    waits_for = serializers.SerializerMethodField(help_text="The work ahead of a queued run.")
    history = serializers.JSONField(help_text="Metrics of each epoch.")

    class Meta(TrainingRunSerializer.Meta):
        fields = [*TrainingRunSerializer.Meta.fields, "model_version", "waits_for", "history", "log_tail"]

    def get_waits_for(self, run: TrainingRun) -> list[str]:
        return [str(work) for work in ahead_of(run)]


class NewTrainingRunSerializer(StrictSerializer):
    dataset_version = StrictIntegerField()
    recipe = serializers.ChoiceField(
        [*RECIPES, *RETRAINING_RECIPES],
        help_text="The recipes that end in `_tune` train the finding, the others the kind of fracture.",
    )
    start = serializers.ChoiceField(
        TrainingRun.Start.choices, help_text="A run of the finding starts from the live model."
    )
    epochs = ParameterField(1, MAX_EPOCHS, required=False, allow_null=True)
    batch_size = ParameterField(1, MAX_BATCH_SIZE, required=False, allow_null=True)
    seed = ParameterField(0, MAX_SEED, default=0)


class ScheduleSerializer(serializers.ModelSerializer[RetrainingSchedule]):
    recipe = NullableCharField()
    last_outcome = NullableCharField()

    class Meta:
        model = RetrainingSchedule
        fields = ["mode", "num_reviews", "recipe", "last_at", "last_outcome"]


class NewScheduleSerializer(StrictSerializer):
    mode = serializers.ChoiceField(RetrainingSchedule.Mode.choices)
    num_reviews = ParameterField(1, MAX_REVIEWS, default=100)
    recipe = serializers.ChoiceField(list(RECIPES), default=DEFAULT_RECIPE)


class ComparisonSerializer(serializers.ModelSerializer[Comparison]):
    candidate = serializers.IntegerField(source="candidate.number")
    live = serializers.IntegerField(source="live.number")
    dataset_version = serializers.IntegerField(
        source="dataset_version_id",
        allow_null=True,
        help_text="The data set version with the most test images that both models can be judged on.",
    )
    verdict = NullableCharField(
        help_text=(
            "On the kind of fracture; null if it is the same in both. The promotion gate accepts `better` and `not "
            "inferior`. `judgement` in `result` has its figures, the margin, and the `detectable` difference, which "
            "80% of such comparisons would find. `finding` has the same for the finding."
        )
    )
    outcome = serializers.CharField(help_text="The outcome of each compared part in words.")
    finding = serializers.JSONField(
        help_text=(
            "The figures of the two findings on the same test X-rays, and their paired differences; or the error if "
            "they could not be compared. Empty if the finding is the same in both."
        )
    )
    test_checksum = NullableCharField(help_text="Checksum of the test images that both were evaluated on.")
    error = NullableCharField()

    class Meta:
        model = Comparison
        fields = [
            "id", "state", "candidate", "live", "dataset_version", "verdict", "outcome", "num_images", "num_left_out",
            "is_origin_known", "test_checksum", "result", "finding", "created_at", "finished_at", "error",
        ]  # fmt: skip


class RecalibrationSerializer(serializers.ModelSerializer[Recalibration]):
    start_version = serializers.IntegerField(
        source="start_version.number", help_text="The model version that is recalibrated."
    )
    model_version = serializers.IntegerField(
        source="made_version.number",
        default=None,
        allow_null=True,
        help_text="The model version that the recalibration made.",
    )
    created_by = serializers.CharField(source="created_by.username", default=None, allow_null=True)
    result = serializers.JSONField(help_text="The figures of the finding before and after.")
    error = NullableCharField()

    class Meta:
        model = Recalibration
        fields = [
            "id", "state", "start_version", "model_version", "created_by", "created_at", "started_at", "finished_at",
            "phase", "step", "steps", "result", "error",
        ]  # fmt: skip
