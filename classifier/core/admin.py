"""Base classes of all admin pages, and the pages of users, tokens, sites, the audit log and notifications.

Most rows are read-only here: they are changed in the portal, where the services apply their rules.
"""

from collections.abc import Callable
from typing import Any

import knox.admin  # noqa: F401 - registers its page before ours replaces it
from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from knox.models import AuthToken

from classifier.core.errors import CallusError
from classifier.core.models import AuditEntry, Notification, Site, User
from classifier.core.permissions import PROMOTE, TRAIN


class BaseAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Does not show staff without the view permission which rows exist."""

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        # Django looks the row up before it checks the permission: 404 and 403 would tell which rows exist.
        if not self.has_view_permission(request):
            raise PermissionDenied
        return super().history_view(request, object_id, extra_context)


class AuditedAdmin(BaseAdmin):
    """Records in the audit log who sets one of these fields, and to what."""

    audited: tuple[str, ...] = ()

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        detail = {
            name: _in_words(form.cleaned_data[name]) for name in form.changed_data if name in self.audited
        }
        if detail or not change:
            kind = form.instance._meta.verbose_name
            action = f"{kind} changed" if change else f"{kind} added"
            AuditEntry.objects.record(actor=request.user, action=action, about=form.instance, **detail)


def _in_words(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, QuerySet):
        return ", ".join(sorted(map(str, value))) or "none"
    return str(value or "none")


class ReadOnlyAdmin(BaseAdmin):
    """Shows rows without letting anyone add, change or delete them."""

    # Counting all rows for "n of m" reads the whole table.
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

    def run_action(self, request: HttpRequest, action: Callable[[], object], done: str) -> None:
        """Runs an action and shows the message `done`, or why the action was refused."""
        try:
            action()
        except CallusError as error:
            self.message_user(request, str(error), messages.ERROR)
        else:
            self.message_user(request, done, messages.SUCCESS)


def is_admin(request: HttpRequest) -> bool:
    """Returns whether a superuser sends the request."""
    return bool(request.user.is_superuser)


def may_act_as(request: HttpRequest, user: User) -> bool:
    """Returns whether the sender may do everything that the user may do."""
    if is_admin(request):
        return True
    return not user.is_superuser and user.get_all_permissions() <= request.user.get_all_permissions()


@admin.register(User)
class UserAdmin(AuditedAdmin, DjangoUserAdmin):  # type: ignore[type-arg]
    list_display = ["username", "email", "site", "is_active", "is_staff", "date_joined", "last_login"]
    list_select_related = ["site"]
    list_filter = ["is_active", "is_staff", "is_superuser", "groups", "site"]
    # What makes a user more powerful: only admins decide it.
    powers = ("is_staff", "is_superuser", "groups", "user_permissions")
    audited = ("username", "email", "is_active", *powers, "site")
    fieldsets = [*(DjangoUserAdmin.fieldsets or []), ("Place of work", {"fields": ["site"]})]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        fields = super().get_readonly_fields(request, obj)
        return fields if is_admin(request) else [*fields, *self.powers]

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuses staff to change a user who may do more than they, whose password they could set."""
        return super().has_change_permission(request, obj) and (obj is None or may_act_as(request, obj))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuses: deleting the rows of a user would leave the files of their X-rays behind. Deactivate the user."""
        return False


# Knox's own page lets staff create tokens that act as another user.
admin.site.unregister(AuthToken)


@admin.register(AuthToken)
class TokenAdmin(ReadOnlyAdmin):
    """Lists and revokes tokens. Users create their own tokens in the portal."""

    list_display = ["user", "created", "expiry"]
    list_select_related = ["user"]
    list_filter = ["created", "expiry"]
    search_fields = ["user__username"]
    fields = ["user", "created", "expiry"]
    ordering = ["-created"]

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return admin.ModelAdmin.has_delete_permission(self, request, obj)


@admin.register(Site)
class SiteAdmin(AuditedAdmin):
    audited = ("name", "allows_training")
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
