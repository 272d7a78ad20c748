"""The account page: who is signed in, and the tokens with which programs use the API in their name."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe
from knox.models import AuthToken
from knox.settings import knox_settings

from portal.pages.access import UserRequest, signed_in


@signed_in
@require_safe
def show(request: UserRequest) -> HttpResponse:
    return _page(request)


@signed_in
@require_POST
@never_cache
def create_token(request: UserRequest) -> HttpResponse:
    """Answers with the page itself: only this response ever holds the token, and no session does."""
    _, token = AuthToken.objects.create(request.user)
    return _page(request, new_token=token)


@signed_in
@require_POST
def revoke_token(request: UserRequest, token_key: str) -> HttpResponse:
    get_object_or_404(AuthToken, user=request.user, token_key=token_key).delete()
    messages.success(request, "The token is revoked: programs that use it are refused from now on.")
    return redirect("account")


def _page(request: UserRequest, new_token: str = "") -> HttpResponse:
    context = {
        "tokens": AuthToken.objects.filter(user=request.user).order_by("-created"),
        "new_token": new_token,
        "token_days": knox_settings.TOKEN_TTL.days,
        "now": timezone.now(),
    }
    return render(request, "account/overview.html", context)
