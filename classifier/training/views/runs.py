"""Training runs: started, watched while they learn, canceled; and when Callus starts one by itself."""

from functools import partial
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from classifier.core.errors import CallusError
from classifier.core.pages import form_page, poll
from classifier.core.pagination import numbered_page
from classifier.core.permissions import TRAIN, VIEW
from classifier.core.queued_work import ahead_of
from classifier.core.requests import UserRequest, may
from classifier.datasets.models import DatasetVersion
from classifier.registry.learning_curves import charts_of, table_of
from classifier.registry.models import ModelVersion
from classifier.training.forms import ScheduleForm, TrainingForm
from classifier.training.models import RetrainingSchedule, TrainingRun
from classifier.training.services import cancel_training, request_training, set_schedule
from ml.networks.recipes import DEFAULT_RECIPE

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
    numbered = numbered_page(request, slim)
    page = numbered["page"]
    last_waiting = next((run for run in page if run.state == TrainingRun.State.QUEUED), None)
    # What the newest waiting one waits for holds what the earlier ones wait for.
    ahead = ahead_of(last_waiting) if last_waiting else []
    rows = [(run, [work for work in ahead if work.created_at < run.created_at]) for run in page]
    context = {
        "rows": rows,
        "is_busy": any(not run.is_finished for run in page),
        **numbered,
    }
    return render(request, "training/run_list.html", context)


@may(TRAIN)
@require_http_methods(["GET", "HEAD", "POST"])
def start(request: UserRequest) -> HttpResponse:
    chosen = request.GET.get("dataset_version") or DatasetVersion.objects.newest()
    return form_page(
        request,
        partial(TrainingForm, initial={"dataset_version": chosen}),
        partial(request_training, user=request.user),
        lambda run: redirect("training_run", run.pk),
        "training/run_start.html",
        lambda form: {
            "has_data": form.fields["dataset_version"].queryset.exists(),  # type: ignore[attr-defined]
            "live": ModelVersion.objects.live(),
        },
    )


@may(VIEW)
@require_safe
def show(request: UserRequest, run_id: int) -> HttpResponse:
    return render(request, "training/run_detail.html", _facts(run_id))


@may(VIEW)
@require_safe
def progress(request: UserRequest, run_id: int) -> HttpResponse:
    return poll(request, "training/_run_update.html", _facts(run_id))


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
    if request.method == "POST" and not request.user.has_perm(TRAIN):
        raise Http404
    now = RetrainingSchedule.get()
    known = {"mode": now.mode, "num_reviews": now.num_reviews, "recipe": now.recipe or DEFAULT_RECIPE}

    def done(saved: RetrainingSchedule) -> HttpResponse:
        messages.success(request, "Schedule saved.")
        return redirect("retraining_schedule")

    return form_page(
        request,
        partial(ScheduleForm, initial=known),
        partial(set_schedule, user=request.user),
        done,
        "training/schedule_edit.html",
        lambda form: {"now": now},
    )


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
