from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from portal import first_admin as service
from portal.pages.forms import FirstAdminForm


@sensitive_post_parameters()
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def first_admin(request: HttpRequest, token: str) -> HttpResponse:
    if not service.is_valid(token):
        raise Http404
    form = FirstAdminForm(request.POST or None)
    if not form.is_valid():
        return render(request, "account/first_admin.html", {"form": form})
    service.create_first_admin(
        username=form.cleaned_data["username"],
        email=form.cleaned_data["email"],
        password=form.cleaned_data["password1"],
    )
    messages.success(request, "Your account is ready. Sign in to begin.")
    return redirect("account_login")
