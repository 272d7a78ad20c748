"""Admin pages of e-mail addresses, second factors, sessions and groups, and signing in to the admin.

An admin can remove the second factor of a user who lost their phone, and end a session; keys are never shown.
"""

from typing import Any

from allauth.account import admin as account
from allauth.account.models import EmailAddress
from allauth.mfa import admin as mfa
from allauth.mfa.models import Authenticator
from allauth.usersessions import admin as usersessions
from allauth.usersessions.models import UserSession
from django.contrib import admin
from django.contrib.auth import admin as auth
from django.contrib.auth.models import Group
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from classifier.core.admin import AuditedAdmin, BaseAdmin, is_admin


def sign_in(request: HttpRequest, extra_context: object = None) -> HttpResponse:
    """Redirects to the portal's sign-in page, so that lockout and second factor also protect the admin.

    Django's own form is never shown: a signed-in user could guess passwords of others there without a limit.
    """
    if admin.site.has_permission(request):
        return redirect("admin:index")
    if request.user.is_authenticated:
        raise PermissionDenied
    return redirect_to_login(request.GET.get("next") or request.get_full_path())


def change_password(request: HttpRequest, extra_context: object = None) -> HttpResponse:
    """Redirects to the portal's page, which limits how often the old password can be guessed."""
    return redirect("account_change_password")


class DeleteOnlyAdmin(BaseAdmin):
    """Shows rows and deletes them, but does not let anyone add or change them."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False


class AuthenticatorAdmin(DeleteOnlyAdmin):
    list_display = ("user", "type", "created_at", "last_used_at")
    exclude = ("data",)


class UserSessionAdmin(DeleteOnlyAdmin):
    list_display = ("user", "created_at", "ip", "user_agent")
    exclude = ("session_key", "data")

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        obj.end()

    def delete_queryset(self, request: HttpRequest, queryset: Any) -> None:
        for session in queryset:
            session.end()


class EmailAddressAdmin(BaseAdmin, account.EmailAddressAdmin):  # type: ignore[misc]
    """E-mail addresses receive password reset links, so only admins change them."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return is_admin(request) and super().has_add_permission(request)

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return is_admin(request) and super().has_change_permission(request, obj)


class GroupAdmin(AuditedAdmin, auth.GroupAdmin):
    """Groups hold permissions, so only admins change them."""

    audited = ("name", "permissions")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return is_admin(request) and super().has_add_permission(request)

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return is_admin(request) and super().has_change_permission(request, obj)


# The libraries register their own pages when their admin modules are imported.
for _library, _model, _ours in (
    (mfa, Authenticator, AuthenticatorAdmin),
    (usersessions, UserSession, UserSessionAdmin),
    (account, EmailAddress, EmailAddressAdmin),
    (auth, Group, GroupAdmin),
):
    admin.site.unregister(_model)
    admin.site.register(_model, _ours)
