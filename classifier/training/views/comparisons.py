"""A candidate beside the live model, on the same frozen test images."""

from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST, require_safe

from classifier.core.errors import CallusError
from classifier.core.permissions import TRAIN, VIEW
from classifier.core.queue import ahead_of
from classifier.core.requests import UserRequest, may
from classifier.registry.models import ModelVersion
from classifier.training.models import Comparison
from classifier.training.services import request_comparison

PAGE_SIZE = 24


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
    pages = Paginator(context["comparison"].result.get("disagreements", []), PAGE_SIZE)
    page = pages.get_page(request.GET.get("page"))
    numbers = pages.get_elided_page_range(page.number, on_each_side=1, on_ends=1)
    return render(
        request, "training/comparison_detail.html", {**context, "page": page, "page_numbers": numbers}
    )


@may(VIEW)
@require_safe
def progress(request: UserRequest, comparison_id: int) -> HttpResponse:
    """What the page of an unfinished one asks again and again; 204 as long as it shows all there is to say."""
    context = _facts(comparison_id)
    if request.GET.get("seen") == context["seen"]:
        return HttpResponse(status=204)
    if context["comparison"].is_finished:
        # The whole page, with all its figures, anew.
        return HttpResponse(headers={"HX-Refresh": "true"})
    return render(request, "training/_comparison_progress.html", context)


def _facts(comparison_id: int) -> dict[str, Any]:
    related = Comparison.objects.select_related("candidate", "live", "dataset_version", "created_by")
    slim = related.defer(
        *(f"{version}__{field}" for version in ("candidate", "live") for field in ("report", "card")),
        "dataset_version__report",
        "dataset_version__samples",
    )
    comparison = get_object_or_404(slim, id=comparison_id)
    live = ModelVersion.objects.live()
    return {
        "comparison": comparison,
        "result": comparison.result,
        "is_about_live": live is not None and comparison.live_id == live.pk,
        "candidate_is_live": live is not None and comparison.candidate_id == live.pk,
        "ahead": ahead_of(comparison),
        "seen": f"{comparison.state}-{comparison.phase}-{comparison.step}",
    }
