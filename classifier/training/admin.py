"""Admin pages of training runs, comparisons, recalibrations, the schedule and the actions of model versions."""

from functools import partial

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from classifier.core.admin import ReadOnlyAdmin
from classifier.registry.admin import ModelVersionAdmin
from classifier.registry.models import ModelVersion
from classifier.training.models import Comparison, Recalibration, RetrainingSchedule, TrainingRun
from classifier.training.promotions import promote_version
from classifier.training.services import cancel_training, request_comparison

# Columns of model versions that lists do not show.
LONG = ("report", "card")


@admin.register(TrainingRun)
class TrainingRunAdmin(ReadOnlyAdmin):
    list_display = ["id", "state", "phase", "dataset_version", "recipe", "created_by", "created_at", "error"]
    list_select_related = ["dataset_version", "created_by"]
    list_filter = ["state", "recipe", "start", "created_at"]
    search_fields = ["=id", "recipe", "created_by__username", "error"]
    ordering = ["-id"]
    actions = ["cancel"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[TrainingRun]:
        long = ("history", "log_tail", "dataset_version__report", "dataset_version__samples")
        return super().get_queryset(request).defer(*long)

    @admin.action(description="Cancel", permissions=["train"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[TrainingRun]) -> None:
        for run in queryset:
            stop = partial(cancel_training, user=request.user, run=run)  # type: ignore[arg-type]
            self.run_action(request, stop, f"{run} is being canceled.")


@admin.register(Comparison)
class ComparisonAdmin(ReadOnlyAdmin):
    list_display = ["created_at", "candidate", "live", "dataset_version", "state", "verdict", "num_images"]
    list_select_related = ["candidate", "live", "dataset_version"]
    list_filter = ["state", "verdict", "created_at"]
    search_fields = ["=candidate__number", "=live__number", "error"]
    ordering = ["-id"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Comparison]:
        long = [f"{version}__{field}" for version in ("candidate", "live") for field in LONG]
        return super().get_queryset(request).defer("result", "finding", "dataset_version__report", *long)


@admin.register(Recalibration)
class RecalibrationAdmin(ReadOnlyAdmin):
    list_display = ["created_at", "start_version", "made_version", "state", "created_by", "error"]
    list_select_related = ["start_version", "made_version", "created_by"]
    list_filter = ["state", "created_at"]
    search_fields = ["=id", "=start_version__number", "=made_version__number", "error"]
    ordering = ["-id"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Recalibration]:
        long = [f"{version}__{field}" for version in ("start_version", "made_version") for field in LONG]
        return super().get_queryset(request).defer("result", *long)


@admin.register(RetrainingSchedule)
class RetrainingScheduleAdmin(ReadOnlyAdmin):
    list_display = ["mode", "num_reviews", "recipe", "set_by", "last_at", "last_outcome"]
    list_select_related = ["set_by"]


admin.site.unregister(ModelVersion)


@admin.register(ModelVersion)
class ModelVersionWithActionsAdmin(ModelVersionAdmin):
    actions = ["compare", "promote"]

    @admin.action(description="Compare with the live model", permissions=["train"])
    def compare(self, request: HttpRequest, queryset: QuerySet[ModelVersion]) -> None:
        for version in queryset:
            ask = partial(request_comparison, user=request.user, candidate=version)  # type: ignore[arg-type]
            self.run_action(request, ask, f"The comparison of {version} with the live model is queued.")

    @admin.action(description="Promote (one version)", permissions=["promote"])
    def promote(self, request: HttpRequest, queryset: QuerySet[ModelVersion]) -> None:
        """Promotes a version that the gate accepts. Others need a second person, whom only the portal's page asks."""
        if len(queryset) != 1:
            self.message_user(request, "Choose one model version to promote.", messages.ERROR)
            return
        version = queryset[0]
        promote = partial(promote_version, user=request.user, version=version)  # type: ignore[arg-type]
        self.run_action(request, promote, f"{version} is live.")
