"""The API of tokens and of the own account."""

from typing import Any

from allauth.account.adapter import get_adapter
from allauth.mfa.utils import is_mfa_enabled
from django.core.exceptions import ValidationError
from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from knox.models import AuthToken
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import AuthenticationFailed, Throttled
from rest_framework.permissions import AllowAny, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from classifier.core.api.authentication import TokenAuthentication
from classifier.core.api.parsers import FormParser, JSONParser
from classifier.core.api.schema import BODY, errors
from classifier.core.api.serializers import StrictCharField, StrictSerializer, validate
from classifier.core.api.viewsets import ViewSet
from classifier.core.models import User
from portal.accounts.services import export_account, issue_token


class CredentialsSerializer(StrictSerializer):
    # Spaces are stripped when the user is looked up, so that a name of spaces is answered like any wrong name.
    username = StrictCharField(max_length=254, trim_whitespace=False)
    password = StrictCharField(max_length=4096, trim_whitespace=False)


class TokenSerializer(serializers.Serializer[Any]):
    token = serializers.CharField()


class TokensViewSet(ViewSet[AuthToken]):
    authentication_classes = []
    permission_classes = [AllowAny]
    parser_classes = [JSONParser, FormParser]

    @extend_schema(
        operation_id="token_create",
        request=CredentialsSerializer,
        responses={201: TokenSerializer, **errors(*BODY, 409)},
        auth=[],
    )
    def create(self, request: Request) -> Response:
        """Returns a new token for a name (or e-mail address) and password. Only a hash of the token is stored."""
        user = _authenticate(request, **validate(CredentialsSerializer, request.data))
        return Response({"token": issue_token(user=user)}, status=201)

    @extend_schema(operation_id="token_revoke", responses={204: None, **errors()})
    @action(
        detail=False,
        methods=["delete"],
        authentication_classes=[TokenAuthentication],
        permission_classes=[IsAuthenticated],
    )
    def current(self, request: Request) -> Response:
        """Revokes the token that this request carries."""
        token: Any = request.auth
        token.delete()
        return Response(status=204)

    def get_authenticate_header(self, request: Request) -> str:
        return "Bearer"


class AccountViewSet(ViewSet[User]):
    @extend_schema(
        operation_id="account_export",
        responses={(200, "application/zip"): OpenApiTypes.BINARY, **errors()},
    )
    @action(detail=False)
    def export(self, request: Request) -> StreamingHttpResponse:
        """Returns all your data as one zip: account.json, radiographs.json, reviews.json and the pictures."""
        return StreamingHttpResponse(
            export_account(user=self.user),
            content_type="application/zip",
            headers={"Content-Disposition": 'attachment; filename="callus-export.zip"'},
        )


def _authenticate(request: Request, username: str, password: str) -> User:
    """Returns the active user with this name and password.

    Failed attempts count together with those on the sign-in page, by IP address and by name.

    Raises:
        AuthenticationFailed: the credentials are wrong, or the user has a second factor.
        Throttled: there were too many failed attempts.
    """
    try:
        user = get_adapter().authenticate(request._request, username=username.strip(), password=password)
    except ValidationError as too_many:
        raise Throttled(detail=too_many.message) from too_many
    if user is None or not user.is_active:
        raise AuthenticationFailed("The name or the password is wrong.")
    if is_mfa_enabled(user):
        raise AuthenticationFailed(
            "This account uses two-factor authentication. Sign in on the website and create a token under Account."
        )
    found: User = user
    return found
