"""Admin page of reviews."""

from django.contrib import admin

from classifier.core.admin import ReadOnlyAdmin
from classifier.reviews.models import Review


@admin.register(Review)
class ReviewAdmin(ReadOnlyAdmin):
    list_display = [
        "created_at",
        "radiograph",
        "reviewer",
        "finding",
        "class_name",
        "is_adjudication",
        "comment",
    ]
    list_select_related = ["radiograph", "reviewer"]
    list_filter = ["finding", "is_adjudication", "class_name", "created_at"]
    search_fields = ["=radiograph__id", "reviewer__username", "class_name", "comment"]
    ordering = ["-id"]
