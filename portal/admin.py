"""What the accounts library shows in the administration, without its secrets.

An admin may take away a second factor of somebody who lost their phone, or end a session; nobody reads a key.
"""

from allauth.mfa import admin as mfa
from allauth.mfa.models import Authenticator
from allauth.usersessions import admin as usersessions
from allauth.usersessions.models import UserSession
from django.contrib import admin
from django.http import HttpRequest


class WithoutSecrets(admin.ModelAdmin):  # type: ignore[type-arg]
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


# They register themselves when they are imported.
for _library, _model, _ours in (
    (mfa, Authenticator, SecondFactors),
    (usersessions, UserSession, Sessions),
):
    admin.site.unregister(_model)
    admin.site.register(_model, _ours)
