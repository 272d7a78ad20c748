"""Recalibrations of the finding on the reviewed X-rays: started, watched, and the figures before and after."""

from functools import partial
from typing import Any

from django.forms import Form
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_safe

from classifier.core.pages import form_page, poll
from classifier.core.permissions import TRAIN, VIEW
from classifier.core.queued_work import ahead_of
from classifier.core.requests import UserRequest, may
from classifier.registry.models import ModelVersion
from classifier.training.models import Recalibration
from classifier.training.reviewed_findings import count_reviewed_findings
from classifier.training.services import request_recalibration
from ml.evaluate.finding_aims import ALARMED, MISSED

NUM_EARLIER = 10
LONG = [
    f"{version}__{field}" for version in ("start_version", "made_version") for field in ("report", "card")
]


@may(VIEW)
@require_http_methods(["GET", "HEAD", "POST"])
def start(request: UserRequest) -> HttpResponse:
    if request.method == "POST" and not request.user.has_perm(TRAIN):
        raise Http404
    return form_page(
        request,
        Form,
        partial(request_recalibration, user=request.user),
        lambda recalibration: redirect("recalibration", recalibration.pk),
        "training/recalibration_start.html",
        lambda form: {
            "live": ModelVersion.objects.live(),
            "reviewed": count_reviewed_findings(),
            "missed": MISSED,
            "alarmed": ALARMED,
            "earlier": _related().newest_first().defer("result", *LONG)[:NUM_EARLIER],
        },
    )


@may(VIEW)
@require_safe
def show(request: UserRequest, recalibration_id: int) -> HttpResponse:
    return render(request, "training/recalibration_detail.html", _facts(recalibration_id))


@may(VIEW)
@require_safe
def progress(request: UserRequest, recalibration_id: int) -> HttpResponse:
    context = _facts(recalibration_id)
    if context["recalibration"].is_finished:
        # The browser loads the whole page again, which now has the figures.
        return HttpResponse(headers={"HX-Refresh": "true"})
    return poll(request, "training/_recalibration_progress.html", context)


def _related() -> Any:
    return Recalibration.objects.select_related("start_version", "made_version", "created_by")


def _facts(recalibration_id: int) -> dict[str, Any]:
    recalibration = get_object_or_404(_related().defer(*LONG), id=recalibration_id)
    live = ModelVersion.objects.live()
    return {
        "recalibration": recalibration,
        "made": recalibration.made_version,
        "is_made_live": live is not None and recalibration.made_version_id == live.pk,
        "ahead": ahead_of(recalibration),
        "seen": f"{recalibration.state}-{recalibration.phase}-{recalibration.step}",
    }
