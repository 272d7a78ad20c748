"""The history of a user's X-rays: search, live updates, and moving X-rays to the trash."""

from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_safe

from classifier.core.pagination import numbered_page
from classifier.core.requests import UserRequest, signed_in
from classifier.radiographs.forms import SearchForm
from classifier.radiographs.models import Radiograph, RadiographQuerySet
from classifier.radiographs.services import trash_radiograph
from classifier.registry.models import ModelVersion

MOST_AT_ONCE = 100


@signed_in
@require_safe
def history(request: UserRequest) -> HttpResponse:
    form = SearchForm(request.GET or None, class_names=ModelVersion.objects.class_names())
    is_refused = form.is_bound and not form.is_valid()
    wanted = {} if is_refused or not form.is_bound else dict(form.cleaned_data)
    order = wanted.pop("order", "")
    found = Radiograph.objects.none() if is_refused else Radiograph.objects.search(request.user, **wanted)
    ordered = found.by_fracture_probability() if order else found.newest_first()
    context = {
        "form": form,
        "is_search": is_refused or any(wanted.values()),
        **numbered_page(request, ordered.with_predictions(), filters=form.fields),
    }
    return render(request, "radiographs/radiograph_list.html", context, status=400 if is_refused else 200)


@signed_in
@require_safe
def answers(request: UserRequest) -> HttpResponse:
    """The same for a list: waiting=ID:STATE for each row that waits; back come the rows whose state is another."""
    shown = _parse_waiting(request.GET.getlist("waiting")[:MOST_AT_ONCE])
    radiographs = Radiograph.objects.owned_by(request.user).filter(id__in=shown).with_predictions()
    changed = [
        radiograph for radiograph in radiographs if radiograph.prediction.state != shown[radiograph.id]
    ]
    if not changed:
        return HttpResponse(status=204)
    return render(request, "radiographs/_badges_update.html", {"radiographs": changed})


@signed_in
@require_http_methods(["GET", "HEAD", "POST"])
def delete(request: UserRequest) -> HttpResponse:
    """Asks first (GET), then deletes (POST): id=ID, once or several times."""
    radiographs = selected(request, Radiograph.objects.owned_by(request.user))
    if not radiographs:
        messages.info(request, "Tick the X-rays to delete first.")
        return redirect("history")
    if request.method != "POST":
        context = {"radiographs": radiographs, "trash_days": settings.TRASH_DAYS}
        return render(request, "radiographs/radiograph_delete.html", context)
    for radiograph in radiographs:
        trash_radiograph(radiograph=radiograph)
    messages.success(
        request,
        "1 X-ray is in the trash."
        if len(radiographs) == 1
        else f"{len(radiographs)} X-rays are in the trash.",
    )
    return redirect("history")


def selected(request: UserRequest, allowed: RadiographQuerySet) -> list[Radiograph]:
    """Returns the radiographs that the request names (id=ID, once or several times), newest first.

    Raises:
        Http404: one of them is not among the allowed ones.
    """
    values = (request.POST if request.method == "POST" else request.GET).getlist("id")
    try:
        ids = {UUID(value) for value in values}
    except ValueError as error:
        raise Http404 from error
    found = list(allowed.filter(id__in=ids).newest_first())
    if len(found) != len(ids):
        raise Http404
    return found


def _parse_waiting(values: list[str]) -> dict[UUID, str]:
    pairs = [value.partition(":") for value in values]
    try:
        return {UUID(radiograph_id): state for radiograph_id, _, state in pairs}
    except ValueError as error:
        raise Http404 from error
