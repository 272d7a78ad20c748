"""The Django admin: to look things up. What has a life of its own is changed where its rules are: in the portal."""

from collections.abc import Callable
from typing import Any

import knox.admin  # noqa: F401 - registers its page before ours replaces it
from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from knox.models import AuthToken

from classifier.core.errors import CallusError
from classifier.core.models import AuditEntry, Notification, Site, User
from classifier.core.permissions import PROMOTE, TRAIN


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


@admin.register(Site)
class SiteAdmin(DiscreetAdmin):
    list_display = ["name", "allows_training"]
    list_filter = ["allows_training"]
    search_fields = ["name"]


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
