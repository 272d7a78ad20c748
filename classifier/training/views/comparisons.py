"""A candidate beside the live model, on the same frozen test images."""

from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST, require_safe

from classifier.core.errors import CallusError
from classifier.core.pages import poll
from classifier.core.pagination import numbered_page
from classifier.core.permissions import TRAIN, VIEW
from classifier.core.queued_work import ahead_of
from classifier.core.requests import UserRequest, may
from classifier.registry.models import ModelVersion
from classifier.training.models import Comparison
from classifier.training.services import request_comparison


@may(TRAIN)
@require_POST
def compare(request: UserRequest, number: int) -> HttpResponse:
    version = get_object_or_404(ModelVersion.objects.select_related("training_run"), number=number)
    try:
        comparison = request_comparison(user=request.user, candidate=version)
    except CallusError as error:
        messages.error(request, str(error))
        return redirect("model_version", number)
    return redirect("comparison", comparison.pk)


@may(VIEW)
@require_safe
def show(request: UserRequest, comparison_id: int) -> HttpResponse:
    context = _facts(comparison_id)
    numbered = numbered_page(request, context["result"].get("disagreements", []))
    return render(request, "training/comparison_detail.html", {**context, **numbered})


@may(VIEW)
@require_safe
def progress(request: UserRequest, comparison_id: int) -> HttpResponse:
    context = _facts(comparison_id)
    if context["comparison"].is_finished:
        # The browser loads the whole page again, which now has all the figures.
        return HttpResponse(headers={"HX-Refresh": "true"})
    return poll(request, "training/_comparison_progress.html", context)


def _facts(comparison_id: int) -> dict[str, Any]:
    related = Comparison.objects.select_related("candidate", "live", "dataset_version", "created_by")
    slim = related.defer(
        *(f"{version}__{field}" for version in ("candidate", "live") for field in ("report", "card")),
        "dataset_version__report",
        "dataset_version__samples",
    )
    comparison = get_object_or_404(slim, id=comparison_id)
    live = ModelVersion.objects.live()
    kind, finding = comparison.kind_judgement, comparison.finding_judgement
    return {
        "comparison": comparison,
        "kind_sentence": comparison.sentence_on(kind) if kind else "",
        "finding_sentence": comparison.sentence_on(finding) if finding else "",
        "result": comparison.result,
        "is_about_live": live is not None and comparison.live_id == live.pk,
        "candidate_is_live": live is not None and comparison.candidate_id == live.pk,
        "ahead": ahead_of(comparison),
        "seen": f"{comparison.state}-{comparison.phase}-{comparison.step}",
    }
