"""The trash of one user: list, restore, delete permanently. portal.operations.purge empties it after TRASH_DAYS."""

from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from classifier.core.errors import NotAllowedNow
from classifier.core.pagination import numbered_page
from classifier.core.requests import UserRequest, signed_in
from classifier.radiographs.models import Radiograph
from classifier.radiographs.services import delete_radiographs, restore_radiograph


@signed_in
@require_safe
def show(request: UserRequest) -> HttpResponse:
    numbered = numbered_page(request, Radiograph.objects.in_trash_of(request.user))
    context = {
        **numbered,
        "rows": [(row, _time_left(row)) for row in numbered["page"]],
        "trash_days": settings.TRASH_DAYS,
    }
    return render(request, "radiographs/trash_list.html", context)


@signed_in
@require_POST
def restore(request: UserRequest, radiograph_id: UUID) -> HttpResponse:
    try:
        restore_radiograph(radiograph=_own(request, radiograph_id))
    except NotAllowedNow as error:
        messages.error(request, str(error))
    else:
        messages.success(request, "The X-ray is back in your history.")
    return redirect("trash")


@signed_in
@require_POST
def remove(request: UserRequest, radiograph_id: UUID) -> HttpResponse:
    in_trash = Radiograph.objects.in_trash_of(request.user)
    if delete_radiographs([_own(request, radiograph_id)], among=in_trash):
        messages.success(request, "X-ray deleted permanently.")
    else:
        messages.error(request, "This X-ray is no longer in the trash.")
    return redirect("trash")


def _own(request: UserRequest, radiograph_id: UUID) -> Radiograph:
    return get_object_or_404(Radiograph.objects.in_trash_of(request.user), id=radiograph_id)


def _time_left(radiograph: Radiograph) -> timedelta:
    gone_at = (radiograph.deleted_at or timezone.now()) + timedelta(days=settings.TRASH_DAYS)
    return max(gone_at - timezone.now(), timedelta())
