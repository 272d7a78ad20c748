"""The Django admin: to look things up. What has a life of its own is changed where its rules are: in the portal."""

from collections.abc import Callable
from functools import partial
from typing import Any

import knox.admin  # noqa: F401 - registers its page before ours replaces it
from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from knox.models import AuthToken

from classifier.errors import CallusError
from classifier.models import (
    AuditEntry,
    Comparison,
    DatasetVersion,
    ModelVersion,
    Notification,
    Prediction,
    Promotion,
    Radiograph,
    RetrainingSchedule,
    Review,
    Site,
    TrainingRun,
    User,
)
from classifier.permissions import PROMOTE, TRAIN
from classifier.services.cancel_training import cancel_training
from classifier.services.delete_radiograph import delete_radiograph
from classifier.services.predict_again import predict_again
from classifier.services.promote_version import promote_version
from classifier.services.request_comparison import request_comparison


class DiscreetAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Tells staff who may see none of its rows nothing about which ones exist."""

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        # The library looks the row up before it asks for the permission.
        if not self.has_view_permission(request):
            raise PermissionDenied
        return super().history_view(request, object_id, extra_context)


class ReadOnlyAdmin(DiscreetAdmin):
    """Rows that are never added, changed or deleted by hand."""

    # Counting all rows for "n of m" would read the whole table.
    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_train_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm(TRAIN))

    def has_promote_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm(PROMOTE))

    def do(self, request: HttpRequest, action: Callable[[], object], done: str) -> None:
        """Does it, and tells the person that it is done, or why not."""
        try:
            action()
        except CallusError as error:
            self.message_user(request, str(error), messages.ERROR)
        else:
            self.message_user(request, done, messages.SUCCESS)


@admin.register(User)
class UserAdmin(DiscreetAdmin, DjangoUserAdmin):  # type: ignore[type-arg]
    list_display = ["username", "email", "site", "is_active", "is_staff", "date_joined", "last_login"]
    list_select_related = ["site"]
    list_filter = ["is_active", "is_staff", "is_superuser", "groups", "site"]
    fieldsets = [*(DjangoUserAdmin.fieldsets or []), ("Place of work", {"fields": ["site"]})]

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """A person who leaves becomes inactive: their X-rays' files would stay behind without their rows."""
        return False


# The library's own page makes tokens that act as somebody else.
admin.site.unregister(AuthToken)


@admin.register(AuthToken)
class TokenAdmin(ReadOnlyAdmin):
    """To look up and revoke tokens; each person makes their own."""

    list_display = ["user", "created", "expiry"]
    list_select_related = ["user"]
    list_filter = ["created", "expiry"]
    search_fields = ["user__username"]
    fields = ["user", "created", "expiry"]
    ordering = ["-created"]

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return admin.ModelAdmin.has_delete_permission(self, request, obj)


@admin.register(Radiograph)
class RadiographAdmin(ReadOnlyAdmin):
    list_display = ["name", "owner", "width", "height", "created_at", "deleted_at", "id"]
    list_select_related = ["owner"]
    list_filter = ["created_at", ("deleted_at", admin.EmptyFieldListFilter), "predictions__state"]
    search_fields = ["name", "owner__username", "=sha256"]
    ordering = ["-created_at"]
    exclude = ["image", "thumbnail"]  # files have no address of their own: the portal serves them
    actions = ["predict_again"]

    @admin.action(description="Predict again with the live model", permissions=["train"])
    def predict_again(self, request: HttpRequest, queryset: QuerySet[Radiograph]) -> None:
        ask = partial(predict_again, user=request.user, radiographs=queryset)  # type: ignore[arg-type]
        self.do(request, ask, "The live model is asked again; its answers stand beside the earlier ones.")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return admin.ModelAdmin.has_delete_permission(self, request, obj)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        deleted, counts, _, protected = super().get_deleted_objects(objs, request)
        # Its predictions go with it, though none is deleted by hand.
        return deleted, counts, set(), protected

    def delete_model(self, request: HttpRequest, obj: Radiograph) -> None:
        delete_radiograph(radiograph=obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Radiograph]) -> None:
        for radiograph in queryset:
            delete_radiograph(radiograph=radiograph)


@admin.register(Prediction)
class PredictionAdmin(ReadOnlyAdmin):
    list_display = ["radiograph", "owner", "state", "class_name", "confidence", "model_version", "created_at"]
    list_select_related = ["radiograph", "owner", "model_version"]
    list_filter = ["state", "in_distribution", "abstained", "model_version", "created_at"]
    search_fields = ["radiograph__name", "owner__username", "class_name", "error"]
    # By when the X-ray came, for which there is an index.
    ordering = ["-radiograph__created_at"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Prediction]:
        return super().get_queryset(request).defer("saliency", "model_version__card", "model_version__report")


@admin.register(ModelVersion)
class ModelVersionAdmin(ReadOnlyAdmin):
    list_display = ["number", "source", "created_by", "created_at", "checksum"]
    list_select_related = ["created_by"]
    list_filter = ["source", "created_at"]
    search_fields = ["=number", "checksum"]
    ordering = ["-number"]
    exclude = ["archive"]
    actions = ["compare", "promote"]

    @admin.action(description="Compare with the live model", permissions=["train"])
    def compare(self, request: HttpRequest, queryset: QuerySet[ModelVersion]) -> None:
        for version in queryset:
            ask = partial(request_comparison, user=request.user, candidate=version)  # type: ignore[arg-type]
            self.do(request, ask, f"{version} is compared with the live model.")

    @admin.action(description="Promote (one)", permissions=["promote"])
    def promote(self, request: HttpRequest, queryset: QuerySet[ModelVersion]) -> None:
        """One that the gate objects to needs a written reason, for which the portal has a page."""
        if len(queryset) != 1:
            self.message_user(request, "Please choose one model to promote.", messages.ERROR)
            return
        version = queryset[0]
        promote = partial(promote_version, user=request.user, version=version)  # type: ignore[arg-type]
        self.do(request, promote, f"{version} is live.")

    def get_queryset(self, request: HttpRequest) -> QuerySet[ModelVersion]:
        return super().get_queryset(request).defer("report", "card")


@admin.register(Promotion)
class PromotionAdmin(ReadOnlyAdmin):
    list_display = ["created_at", "kind", "model_version", "promoted_by", "reason"]
    list_select_related = ["model_version", "promoted_by"]
    list_filter = ["kind", "created_at"]
    search_fields = ["=model_version__number", "promoted_by__username", "reason"]
    ordering = ["-id"]


@admin.register(Site)
class SiteAdmin(DiscreetAdmin):
    list_display = ["name", "allows_training"]
    list_filter = ["allows_training"]
    search_fields = ["name"]


@admin.register(Review)
class ReviewAdmin(ReadOnlyAdmin):
    list_display = ["created_at", "radiograph", "reviewer", "verdict", "class_name", "comment"]
    list_select_related = ["radiograph", "reviewer"]
    list_filter = ["verdict", "class_name", "created_at"]
    search_fields = ["radiograph__name", "reviewer__username", "class_name", "comment"]
    ordering = ["-id"]


@admin.register(DatasetVersion)
class DatasetVersionAdmin(ReadOnlyAdmin):
    list_display = ["id", "state", "source", "parent", "note", "created_by", "created_at", "error"]
    list_select_related = ["parent", "created_by"]
    list_filter = ["state", "source", "created_at"]
    search_fields = ["=id", "note", "created_by__username", "checksum"]
    ordering = ["-id"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[DatasetVersion]:
        return super().get_queryset(request).defer("report", "samples", "parent__report", "parent__samples")


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
            self.do(request, stop, f"{run} is being stopped.")


@admin.register(Comparison)
class ComparisonAdmin(ReadOnlyAdmin):
    list_display = ["created_at", "candidate", "live", "dataset_version", "state", "verdict", "num_images"]
    list_select_related = ["candidate", "live", "dataset_version"]
    list_filter = ["state", "verdict", "created_at"]
    search_fields = ["=candidate__number", "=live__number", "error"]
    ordering = ["-id"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Comparison]:
        long = [f"{version}__{field}" for version in ("candidate", "live") for field in ("report", "card")]
        return super().get_queryset(request).defer("result", "dataset_version__report", *long)


@admin.register(RetrainingSchedule)
class RetrainingScheduleAdmin(ReadOnlyAdmin):
    list_display = ["mode", "num_reviews", "recipe", "set_by", "last_at", "last_outcome"]
    list_select_related = ["set_by"]


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin):
    list_display = ["created_at", "actor_name", "action", "subject_name", "detail"]
    list_filter = ["action", "subject", "created_at"]
    search_fields = ["actor_name", "action", "subject_name"]
    ordering = ["-id"]


@admin.register(Notification)
class NotificationAdmin(ReadOnlyAdmin):
    list_display = ["created_at", "user", "text", "read_at"]
    list_select_related = ["user"]
    list_filter = ["subject", "created_at"]
    search_fields = ["user__username", "text"]
    ordering = ["-id"]
