"""A person's own data: all of it to take along, or all of it gone."""

from allauth.account.adapter import get_adapter
from django.contrib import messages
from django.contrib.auth import logout
from django.core.exceptions import ValidationError
from django.http import HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_safe

from classifier.errors import NotAllowedNow
from classifier.services.delete_account import delete_account
from classifier.services.export_account import export_account
from portal.pages.access import UserRequest, signed_in


@signed_in
@never_cache
@require_safe
def export(request: UserRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(
        export_account(user=request.user),
        content_type="application/zip",
        headers={"Content-Disposition": 'attachment; filename="callus-export.zip"'},
    )


@sensitive_post_parameters("password")
@signed_in
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def delete(request: UserRequest) -> HttpResponse:
    """Asks for the password, with the lockout of a sign-in: an open session is not enough to guess it."""
    if request.method != "POST":
        return render(request, "account/delete.html")
    try:
        password = request.POST.get("password", "")
        user = get_adapter().authenticate(request, username=request.user.username, password=password)
        if user != request.user:
            raise NotAllowedNow("The password is wrong.")
        delete_account(user=request.user)
    except ValidationError as too_many:
        return render(request, "account/delete.html", {"error": too_many.message}, status=429)
    except NotAllowedNow as error:
        return render(request, "account/delete.html", {"error": error}, status=error.status)
    logout(request)
    messages.success(request, "Your account and your X-rays are gone.")
    return redirect("account_login")
