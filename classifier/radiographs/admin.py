"""Admin pages of radiographs and predictions."""

from functools import partial
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from classifier.core.admin import ReadOnlyAdmin
from classifier.radiographs.models import Prediction, Radiograph
from classifier.radiographs.services import delete_radiographs, predict_again


@admin.register(Radiograph)
class RadiographAdmin(ReadOnlyAdmin):
    list_display = ["__str__", "owner", "width", "height", "created_at", "deleted_at", "id"]
    list_select_related = ["owner"]
    list_filter = ["created_at", ("deleted_at", admin.EmptyFieldListFilter), "predictions__state"]
    search_fields = ["=id", "owner__username", "=sha256"]
    ordering = ["-created_at"]
    # Only owners see file names, and the files have no URL: the portal serves them. The hashes are
    # for grouping only.
    exclude = ["_file_name", "image", "thumbnail", "patient_hash", "study_hash"]
    actions = ["predict_again"]

    @admin.action(description="Predict again with the live model", permissions=["train"])
    def predict_again(self, request: HttpRequest, queryset: QuerySet[Radiograph]) -> None:
        ask = partial(predict_again, user=request.user, radiographs=queryset)  # type: ignore[arg-type]
        self.run_action(request, ask, "The live model is asked again. Earlier answers are kept.")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return admin.ModelAdmin.has_delete_permission(self, request, obj)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        deleted, counts, _, protected = super().get_deleted_objects(objs, request)
        # Its predictions are deleted with it, although the admin does not delete predictions alone.
        return deleted, counts, set(), protected

    def delete_model(self, request: HttpRequest, obj: Radiograph) -> None:
        delete_radiographs([obj])

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Radiograph]) -> None:
        delete_radiographs(queryset)


@admin.register(Prediction)
class PredictionAdmin(ReadOnlyAdmin):
    list_display = ["radiograph", "owner", "state", "finding", "class_name", "model_version", "created_at"]
    list_select_related = ["radiograph", "owner", "model_version"]
    list_filter = ["state", "finding", "in_distribution", "abstained", "model_version", "created_at"]
    search_fields = ["=radiograph__id", "owner__username", "class_name", "error"]
    # By the upload time of the radiograph, which has an index.
    ordering = ["-radiograph__created_at"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Prediction]:
        return super().get_queryset(request).defer("model_version__card", "model_version__report")
