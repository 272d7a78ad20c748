"""Training runs: started, watched while they learn, canceled; and when Callus starts one by itself."""

from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from classifier.core.errors import CallusError
from classifier.core.permissions import TRAIN, VIEW
from classifier.core.queue import ahead_of
from classifier.core.requests import UserRequest, may
from classifier.datasets.models import DatasetVersion
from classifier.registry.learning_curves import charts_of, table_of
from classifier.registry.models import ModelVersion
from classifier.training.forms import ScheduleForm, TrainingForm
from classifier.training.models import RetrainingSchedule, TrainingRun
from classifier.training.services import cancel_training, request_training, set_schedule

PAGE_SIZE = 24
# What may have come out of a run.
VERSIONS = ("trained_version", "same_as")


@may(VIEW)
@require_safe
def overview(request: UserRequest) -> HttpResponse:
    related = TrainingRun.objects.newest_first().select_related("created_by", "trained_version", "same_as")
    slim = related.defer(
        "history",
        "log_tail",
        *(f"{version}__{field}" for version in VERSIONS for field in ("report", "card")),
    )
    pages = Paginator(slim, PAGE_SIZE)
    page = pages.get_page(request.GET.get("page"))
    numbers = pages.get_elided_page_range(page.number, on_each_side=1, on_ends=1)
    last_waiting = next((run for run in page if run.state == TrainingRun.State.QUEUED), None)
    # What the newest waiting one waits for holds what the earlier ones wait for.
    ahead = ahead_of(last_waiting) if last_waiting else []
    rows = [(run, [work for work in ahead if work.created_at < run.created_at]) for run in page]
    context = {
        "rows": rows,
        "is_busy": any(not run.is_finished for run in page),
        "page": page,
        "page_numbers": numbers,
    }
    return render(request, "training/run_list.html", context)


@may(TRAIN)
@require_http_methods(["GET", "HEAD", "POST"])
def start(request: UserRequest) -> HttpResponse:
    asked = {"dataset_version": request.GET.get("dataset_version") or DatasetVersion.objects.newest()}
    form = TrainingForm(request.POST) if request.method == "POST" else TrainingForm(initial=asked)
    status = 200
    if request.method == "POST":
        status = 400
        if form.is_valid():
            try:
                run = request_training(user=request.user, **form.cleaned_data)
            except CallusError as error:
                form.add_error(None, str(error))
                status = error.status
            else:
                return redirect("training_run", run.pk)
    context = {
        "form": form,
        "has_data": form.fields["dataset_version"].queryset.exists(),  # type: ignore[attr-defined]
        "live": ModelVersion.objects.live(),
    }
    return render(request, "training/run_start.html", context, status=status)


@may(VIEW)
@require_safe
def show(request: UserRequest, run_id: int) -> HttpResponse:
    return render(request, "training/run_detail.html", _facts(run_id))


@may(VIEW)
@require_safe
def progress(request: UserRequest, run_id: int) -> HttpResponse:
    """What the page of an unfinished run asks again and again; 204 as long as it shows all there is to say."""
    context = _facts(run_id)
    if request.GET.get("seen") == context["seen"]:
        return HttpResponse(status=204)
    return render(request, "training/_run_update.html", context)


@may(TRAIN)
@require_POST
def cancel(request: UserRequest, run_id: int) -> HttpResponse:
    run = get_object_or_404(TrainingRun, id=run_id)
    try:
        cancel_training(user=request.user, run=run)
    except CallusError as error:
        messages.error(request, str(error))
    return redirect("training_run", run.pk)


@may(VIEW)
@require_http_methods(["GET", "HEAD", "POST"])
def schedule(request: UserRequest) -> HttpResponse:
    now = RetrainingSchedule.get()
    known = {"mode": now.mode, "num_reviews": now.num_reviews, "recipe": now.recipe or "top"}
    form = ScheduleForm(request.POST if request.method == "POST" else None, initial=known)
    status = 200
    if request.method == "POST":
        if not request.user.has_perm(TRAIN):
            raise Http404
        status = 400
        if form.is_valid():
            try:
                set_schedule(user=request.user, **form.cleaned_data)
            except CallusError as error:
                form.add_error(None, str(error))
                status = error.status
            else:
                messages.success(request, "The schedule is kept.")
                return redirect("retraining_schedule")
    return render(request, "training/schedule_edit.html", {"form": form, "now": now}, status=status)


def _facts(run_id: int) -> dict[str, Any]:
    related = TrainingRun.objects.select_related(
        "dataset_version", "created_by", "canceled_by", "start_version", *VERSIONS
    )
    slim = related.defer(
        "dataset_version__report",
        "dataset_version__samples",
        "start_version__report",
        "start_version__card",
        *(f"{version}__{field}" for version in VERSIONS for field in ("report", "card")),
    )
    run = get_object_or_404(slim, id=run_id)
    return {
        "run": run,
        "made": run.model_version,
        "ahead": ahead_of(run),
        "is_over": run.is_finished,
        "charts": charts_of(run.curves),
        "table": table_of(run.curves),
        "seen": f"{run.state}-{run.is_canceling}-{run.phase}-{run.epoch}-{run.step}-{len(run.log_tail)}",
    }
