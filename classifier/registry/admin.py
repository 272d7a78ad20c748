"""Admin pages of model versions, promotions and requests for promotions."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from classifier.core.admin import ReadOnlyAdmin
from classifier.registry.models import ModelVersion, Promotion, PromotionRequest


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
    list_display = ["created_at", "kind", "model_version", "promoted_by", "confirmed_by", "reason"]
    list_select_related = ["model_version", "promoted_by", "confirmed_by"]
    list_filter = ["kind", "created_at"]
    search_fields = ["=model_version__number", "promoted_by__username", "reason"]
    ordering = ["-id"]


@admin.register(PromotionRequest)
class PromotionRequestAdmin(ReadOnlyAdmin):
    list_display = ["created_at", "model_version", "requested_by", "state", "decided_by", "reason"]
    list_select_related = ["model_version", "requested_by", "decided_by"]
    list_filter = ["state", "created_at"]
    search_fields = ["=model_version__number", "requested_by__username", "decided_by__username", "reason"]
    ordering = ["-id"]
