"""Account pages: profile and API tokens, the export and deletion of own data, and the first admin.

For admins: the roles and sites of people.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

from allauth.account.adapter import get_adapter
from allauth.mfa.totp.views import ActivateTOTPView
from allauth.usersessions.models import UserSession
from django.contrib import messages
from django.contrib.auth import logout
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.forms import Form
from django.forms.boundfield import BoundWidget
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from knox.models import AuthToken
from knox.settings import knox_settings

from classifier.core.api.authentication import usable_tokens
from classifier.core.errors import NotAllowedNow
from classifier.core.models import User
from classifier.core.pages import form_page
from classifier.core.pagination import numbered_page
from classifier.core.requests import UserRequest, signed_in
from portal.accounts import first_admin as service
from portal.accounts.forms import FirstAdminForm, PeopleForm, PersonForm
from portal.accounts.people import change_person, describe_role, search_people
from portal.accounts.services import delete_account, export_account, issue_token


@signed_in
@require_safe
def account(request: UserRequest) -> HttpResponse:
    return _page(request)


@signed_in
@require_POST
@never_cache
def create_token(request: UserRequest) -> HttpResponse:
    """Answers with the page itself: only this response ever holds the token, and no session does."""
    try:
        return _page(request, new_token=issue_token(user=request.user))
    except NotAllowedNow as error:
        messages.error(request, str(error))
        return redirect("account")


@signed_in
@require_POST
def revoke_token(request: UserRequest, token_key: str) -> HttpResponse:
    get_object_or_404(AuthToken, user=request.user, token_key=token_key).delete()
    messages.success(request, "Token revoked. Programs that use it can no longer sign in.")
    return redirect("account")


class ActivateTOTP(ActivateTOTPView):  # type: ignore[misc]
    """Sets up the second factor, which ends all other sessions: one may be why the person sets it up."""

    def form_valid(self, form: Any) -> HttpResponse:
        response: HttpResponse = super().form_valid(form)
        current = self.request.session.session_key
        for session in UserSession.objects.filter(user=self.request.user).exclude(session_key=current):
            session.end()
        return response


def _page(request: UserRequest, new_token: str = "") -> HttpResponse:
    context = {
        "tokens": usable_tokens().filter(user=request.user).order_by("-created"),
        "new_token": new_token,
        "token_days": knox_settings.TOKEN_TTL.days,
        "now": timezone.now(),
    }
    return render(request, "accounts/account_detail.html", context)


@signed_in
@never_cache
@require_safe
def export_own_data(request: UserRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(
        export_account(user=request.user),
        content_type="application/zip",
        headers={"Content-Disposition": 'attachment; filename="callus-export.zip"'},
    )


@sensitive_post_parameters("password")
@signed_in
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def delete_own_account(request: UserRequest) -> HttpResponse:
    """Asks for the password, with the lockout of a sign-in: an open session is not enough to guess it."""
    if request.method != "POST":
        return render(request, "accounts/account_delete.html")
    try:
        password = request.POST.get("password", "")
        user = get_adapter().authenticate(request, username=request.user.username, password=password)
        if user != request.user:
            raise NotAllowedNow("The password is wrong.")
        delete_account(user=request.user)
    except ValidationError as too_many:
        return render(request, "accounts/account_delete.html", {"error": too_many.message}, status=429)
    except NotAllowedNow as error:
        return render(request, "accounts/account_delete.html", {"error": error}, status=error.status)
    logout(request)
    messages.success(request, "Your account and all your X-rays have been deleted.")
    return redirect("account_login")


@sensitive_post_parameters()
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def first_admin(request: HttpRequest, token: str) -> HttpResponse:
    if not service.is_valid(token):
        raise Http404
    form = FirstAdminForm(request.POST or None)
    if not form.is_valid():
        return render(request, "accounts/first_admin.html", {"form": form})
    is_created = service.create_first_admin(
        username=form.cleaned_data["username"],
        email=form.cleaned_data["email"],
        password=form.cleaned_data["password1"],
    )
    if not is_created:
        raise Http404
    messages.success(request, "Your account is ready. Sign in to begin.")
    return redirect("account_login")


@signed_in
@never_cache
@require_safe
def people(request: UserRequest) -> HttpResponse:
    _check_admin(request)
    form = PeopleForm(request.GET)
    found = search_people(form.cleaned_data["q"]) if form.is_valid() else User.objects.none()
    context = {"form": form, **numbered_page(request, found, filters=form.fields)}
    return render(request, "accounts/people.html", context, status=200 if form.is_valid() else 400)


@signed_in
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def person(request: UserRequest, user_id: int) -> HttpResponse:
    _check_admin(request)
    found = get_object_or_404(User, id=user_id)

    def make_form(data: Any = None, files: Any = None) -> PersonForm:
        return PersonForm(data, initial={"roles": found.groups.all(), "site": found.site})

    def done(_: None) -> HttpResponse:
        messages.success(request, f"The changes to {found} have been saved.")
        return redirect("people")

    return form_page(
        request,
        make_form,
        partial(change_person, admin=request.user, person=found),
        done,
        "accounts/person.html",
        lambda form: {"person": found, "roles": [(box, describe_role(role)) for box, role in _roles(form)]},
    )


def _roles(form: Form) -> Iterator[tuple[BoundWidget, Group]]:
    """Yields the check box of each role, and the role."""
    return zip(form["roles"], form.fields["roles"].queryset, strict=True)  # type: ignore[attr-defined]


def _check_admin(request: UserRequest) -> None:
    if not request.user.is_superuser:
        raise Http404
