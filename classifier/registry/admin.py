"""Admin pages of model versions and promotions."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from classifier.core.admin import ReadOnlyAdmin
from classifier.registry.models import ModelVersion, Promotion


@admin.register(ModelVersion)
class ModelVersionAdmin(ReadOnlyAdmin):
    list_display = ["number", "source", "created_by", "created_at", "checksum"]
    list_select_related = ["created_by"]
    list_filter = ["source", "created_at"]
    search_fields = ["=number", "checksum"]
    ordering = ["-number"]
    exclude = ["archive"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[ModelVersion]:
        return super().get_queryset(request).defer("report", "card")


@admin.register(Promotion)
class PromotionAdmin(ReadOnlyAdmin):
    list_display = ["created_at", "kind", "model_version", "promoted_by", "reason"]
    list_select_related = ["model_version", "promoted_by"]
    list_filter = ["kind", "created_at"]
    search_fields = ["=model_version__number", "promoted_by__username", "reason"]
    ordering = ["-id"]
