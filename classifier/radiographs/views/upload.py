"""The upload page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.http import HttpResponse, JsonResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.views.decorators.http import require_http_methods

from classifier.core import write_limit
from classifier.core.errors import CallusError, UploadRefused
from classifier.core.models import User
from classifier.core.requests import UserRequest, signed_in, wants_json
from classifier.radiographs.models import Radiograph
from classifier.radiographs.services import check_one_file, receive_radiograph

NUM_NEWEST = 6


@dataclass(frozen=True)
class Outcome:
    """What became of one file: a radiograph, or an error."""

    name: str
    radiograph: Radiograph | None = None
    error: CallusError | None = None


NO_FILE = Outcome("No file", error=UploadRefused("Choose at least one file."))


@signed_in
@require_http_methods(["GET", "HEAD", "POST"])
def upload(request: UserRequest) -> HttpResponse:
    if request.method != "POST":
        return _page(request)
    if wants_json(request):
        return _as_json(request, _receive_one(request))
    files = request.FILES.getlist("file")
    outcomes = [_receive(request.user, file) for file in files] or [NO_FILE]
    return _page(request, outcomes)


def _receive_one(request: UserRequest) -> Outcome:
    """Receives the file of a script, which gets one answer."""
    try:
        check_one_file(request.FILES)
    except CallusError as error:
        return Outcome("", error=error)
    file = request.FILES.get("file")
    return _receive(request.user, file) if file else NO_FILE


def _receive(owner: User, file: UploadedFile[Any]) -> Outcome:
    try:
        write_limit.check(owner)
        return Outcome(file.name or "", radiograph=receive_radiograph(owner=owner, upload=file))
    except CallusError as error:
        return Outcome(file.name or "", error=error)


def _as_json(request: UserRequest, outcome: Outcome) -> HttpResponse:
    """For upload.js, which sends each file on its own."""
    if outcome.error:
        error = outcome.error
        return JsonResponse({"detail": str(error)}, status=error.status, headers=error.headers)
    item = render_to_string("radiographs/_row.html", {"radiograph": outcome.radiograph}, request)
    return JsonResponse({"item": item}, status=201)


def _page(request: UserRequest, outcomes: Sequence[Outcome] = ()) -> HttpResponse:
    errors = [outcome.error for outcome in outcomes if outcome.error]
    just_received = [outcome.radiograph.id for outcome in outcomes if outcome.radiograph]
    newest = Radiograph.objects.owned_by(request.user).exclude(id__in=just_received).newest_first()
    context = {
        "outcomes": outcomes,
        "newest": newest.with_predictions()[:NUM_NEWEST],
        "max_bytes": settings.UPLOAD_MAX_BYTES,
        "max_megabytes": settings.UPLOAD_MAX_BYTES // 1024**2,
    }
    page = render(request, "radiographs/radiograph_upload.html", context)
    if errors and len(errors) == len(outcomes):
        page.status_code = errors[0].status
        for name, value in errors[0].headers.items():
            page[name] = value
    return page
