"""Admin page of data set versions."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from classifier.core.admin import ReadOnlyAdmin
from classifier.datasets.models import DatasetVersion


@admin.register(DatasetVersion)
class DatasetVersionAdmin(ReadOnlyAdmin):
    list_display = ["id", "state", "source", "parent", "note", "created_by", "created_at", "error"]
    list_select_related = ["parent", "created_by"]
    list_filter = ["state", "source", "created_at"]
    search_fields = ["=id", "note", "created_by__username", "checksum"]
    ordering = ["-id"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[DatasetVersion]:
        return super().get_queryset(request).defer("report", "samples", "parent__report", "parent__samples")
