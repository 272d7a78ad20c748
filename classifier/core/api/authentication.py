"""Authentication by API token, and how the OpenAPI schema describes it."""

from typing import Any

from allauth.mfa.models import Authenticator
from django.db import models
from django.utils import timezone
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from knox import auth
from knox.crypto import hash_token
from knox.models import AuthToken
from rest_framework.exceptions import AuthenticationFailed

from classifier.core.models import User


def usable_tokens() -> "models.QuerySet[AuthToken]":
    """Filters tokens that were made after their user set up the second factor, if there is one.

    An earlier token needed the password alone, which may be why the user set the factor up.
    """
    later_factor = Authenticator.objects.filter(
        user=models.OuterRef("user"), type=Authenticator.Type.TOTP, created_at__gt=models.OuterRef("created")
    )
    return AuthToken.objects.exclude(models.Exists(later_factor))  # type: ignore[no-any-return]


class TokenAuthentication(auth.TokenAuthentication):  # type: ignore[misc]
    """Finds a token by its hash, in one query.

    Knox itself reads all tokens of the user at each request, and fails on a token that is not UTF-8.
    """

    def authenticate_credentials(self, token: bytes) -> tuple[User, AuthToken]:
        valid = usable_tokens().filter(expiry__gt=timezone.now(), user__is_active=True)
        found = valid.filter(digest=hash_token(token.decode("latin-1"))).select_related("user").first()
        if found is None:
            raise AuthenticationFailed("This token is not valid or has expired.")
        return found.user, found


class BearerScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """Describes `TokenAuthentication` in the OpenAPI schema."""

    target_class = TokenAuthentication
    name = "Bearer"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer"}
