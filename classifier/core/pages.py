"""What the pages of all subjects share: a page with a form, and a fragment that a waiting page polls."""

from collections.abc import Callable
from typing import Any, TypeVar

from django.forms import Form
from django.http import HttpResponse, JsonResponse
from django.shortcuts import render

from classifier.core.errors import CallusError
from classifier.core.requests import UserRequest, wants_json

Result = TypeVar("Result")


def form_page(
    request: UserRequest,
    make_form: Callable[..., Form],
    act: Callable[..., Result],
    done: Callable[[Result], HttpResponse],
    template: str,
    context: Callable[[Form], dict[str, Any]] = lambda form: {},
    *,
    errors_at: str | None = None,
) -> HttpResponse:
    """Show a form (GET), or act on a valid one (POST) and redirect.

    A form that is not valid, or that the service refuses, is shown again with the errors: status 400, or the status
    of the CallusError. A script that asks for JSON gets the first error as {"detail": ...}.

    Args:
        make_form: called with the data and files of a POST, or without arguments for an empty form.
        act: called with the cleaned data as keyword arguments; raises CallusError to refuse.
        done: makes the response from what `act` returned.
        context: further variables of the template.
        errors_at: the field beside which a refusal that names no field is shown; by default it stands above the form.
    """
    is_sent = request.method == "POST"
    form = make_form(request.POST, request.FILES) if is_sent else make_form()
    status = 200
    if is_sent:
        status = 400
        if form.is_valid():
            try:
                result = act(**form.cleaned_data)
            except CallusError as error:
                field = error.field or errors_at
                form.add_error(field if field in form.fields else None, str(error))
                status = error.status
            else:
                return done(result)
        if wants_json(request):
            return JsonResponse({"detail": next(iter(form.errors.values()))[0]}, status=status)
    return render(request, template, {"form": form, **context(form)}, status=status)


def poll(request: UserRequest, template: str, context: dict[str, Any]) -> HttpResponse:
    """Render the fragment that a waiting page polls, or 204 while the page shows the current state.

    Args:
        context: its entry `seen` names the state; the page sends the one that it shows.
    """
    if request.GET.get("seen") == context["seen"]:
        return HttpResponse(status=204)
    return render(request, template, context)
