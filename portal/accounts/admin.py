"""The accounts in the administration: no sign-in of its own, and no secrets.

An admin may take away a second factor of somebody who lost their phone, or end a session; nobody reads a key.
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

from classifier.core.admin import DiscreetAdmin


def sign_in(request: HttpRequest, extra_context: object = None) -> HttpResponse:
    """One way to sign in: lockout and second factor hold for the administration too.

    The library's own form is shown to nobody: who is signed in could guess other people's passwords there.
    """
    if admin.site.has_permission(request):
        return redirect("admin:index")
    if request.user.is_authenticated:
        raise PermissionDenied
    return redirect_to_login(request.GET.get("next") or request.get_full_path())


def change_password(request: HttpRequest, extra_context: object = None) -> HttpResponse:
    """One way to change one's password, which limits how often the old one may be guessed."""
    return redirect("account_change_password")


class WithoutSecrets(DiscreetAdmin):
    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False


class SecondFactors(WithoutSecrets):
    list_display = ("user", "type", "created_at", "last_used_at")
    exclude = ("data",)


class Sessions(WithoutSecrets):
    list_display = ("user", "created_at", "ip", "user_agent")
    exclude = ("session_key", "data")

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        obj.end()

    def delete_queryset(self, request: HttpRequest, queryset: Any) -> None:
        for session in queryset:
            session.end()


class EmailAddresses(DiscreetAdmin, account.EmailAddressAdmin):  # type: ignore[misc]
    pass


class Groups(DiscreetAdmin, auth.GroupAdmin):
    pass


# They register themselves when they are imported.
for _library, _model, _ours in (
    (mfa, Authenticator, SecondFactors),
    (usersessions, UserSession, Sessions),
    (account, EmailAddress, EmailAddresses),
    (auth, Group, Groups),
):
    admin.site.unregister(_model)
    admin.site.register(_model, _ours)
