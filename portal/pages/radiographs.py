"""A radiograph with its answer, and the history of all of them."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from classifier.errors import NotAllowedNow
from classifier.models import Consensus, ModelVersion, Prediction, Radiograph, Review
from classifier.paging import Pages
from classifier.permissions import REVIEW
from classifier.services.retry_prediction import retry_prediction
from classifier.services.trash_radiograph import trash_radiograph
from portal.pages.access import UserRequest, signed_in
from portal.pages.forms import SearchForm
from portal.pages.retraining_forms import ReviewForm

PAGE_SIZE = 24
MOST_AT_ONCE = 100


@signed_in
@require_safe
def history(request: UserRequest) -> HttpResponse:
    form = SearchForm(request.GET or None, class_names=ModelVersion.objects.class_names())
    wanted = form.cleaned_data if form.is_valid() else {}
    found = Radiograph.objects.found_by(request.user, **wanted)
    pages = Pages(found.newest_first().with_predictions(), PAGE_SIZE)
    page = pages.get_page(request.GET.get("page"))
    context = {
        "form": form,
        "is_search": any(wanted.values()),
        "page": page,
        "page_numbers": pages.get_elided_page_range(page.number, on_each_side=1, on_ends=1),
    }
    return render(request, "radiographs/history.html", context)


@signed_in
@require_safe
def show(request: UserRequest, radiograph_id: UUID) -> HttpResponse:
    return render(request, "radiographs/show.html", with_answer(request, radiograph_id))


@signed_in
@require_safe
def answer(request: UserRequest, radiograph_id: UUID) -> HttpResponse:
    """What a waiting page asks again and again; 204 as long as it shows all there is to say."""
    context = with_answer(request, radiograph_id)
    if request.GET.get("seen") == context["seen"]:
        return HttpResponse(status=204)
    return render(request, "radiographs/_answer_update.html", context)


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
@require_POST
def retry(request: UserRequest, radiograph_id: UUID) -> HttpResponse:
    own = Radiograph.objects.owned_by(request.user).with_predictions()
    radiograph = get_object_or_404(own, id=radiograph_id)
    try:
        retry_prediction(prediction=radiograph.prediction)
    except NotAllowedNow as error:
        messages.error(request, str(error))
    return redirect("radiograph", radiograph.id)


@signed_in
@require_http_methods(["GET", "HEAD", "POST"])
def delete(request: UserRequest) -> HttpResponse:
    """Asks first (GET), then deletes (POST): id=ID, once or several times."""
    ids = parse_ids((request.POST if request.method == "POST" else request.GET).getlist("id"))
    radiographs = list(Radiograph.objects.owned_by(request.user).filter(id__in=ids).newest_first())
    if not ids:
        messages.info(request, "Tick the X-rays to delete first.")
        return redirect("history")
    if len(radiographs) != len(ids):
        raise Http404
    if request.method != "POST":
        context = {"radiographs": radiographs, "trash_days": settings.TRASH_DAYS}
        return render(request, "radiographs/delete.html", context)
    for radiograph in radiographs:
        trash_radiograph(radiograph=radiograph)
    messages.success(
        request, "1 X-ray is in the trash." if len(ids) == 1 else f"{len(ids)} X-rays are in the trash."
    )
    return redirect("history")


def with_answer(request: UserRequest, radiograph_id: UUID) -> dict[str, Any]:
    radiograph = Radiograph.objects.with_predictions().one_for(request.user, radiograph_id)
    if radiograph is None:
        raise Http404
    prediction = radiograph.prediction
    pause = _pause(prediction)
    return {
        "radiograph": radiograph,
        "is_own": radiograph.owner_id == request.user.id,
        "prediction": prediction,
        **_times(prediction),
        "pause": pause,
        "is_slow": pause != "500ms",
        "seen": f"{prediction.state}-{pause}",
        **(_judgement(request, radiograph) if prediction.is_finished else {}),
    }


def _judgement(request: UserRequest, radiograph: Radiograph) -> dict[str, Any]:
    """What stands beside a finished answer: what people and other model versions say."""
    related = radiograph.reviews.select_related("reviewer", "prediction__model_version")
    slim = related.defer("prediction__saliency", "prediction__model_version__report")
    reviews = list(slim.visible_to(request.user).newest_first())
    latest: dict[Any, Review] = {}
    for review in reviews:
        latest.setdefault(review.reviewer_id or f"gone {review.pk}", review)
    prediction, live = radiograph.prediction, ModelVersion.objects.live()
    may_review = request.user.has_perm(REVIEW) and prediction.state == Prediction.State.SUCCEEDED
    known = {other.model_version_id for other in radiograph.predictions.all()}
    return {
        "reviews": reviews,
        "latest": list(latest.values()),
        "is_disagreement": Consensus(list(latest.values())).is_disagreement,
        "review_form": ReviewForm(prediction=prediction) if may_review else None,
        "others": list(radiograph.predictions.all())[1:],
        "newer_live": live if live and live.pk not in known else None,
    }


def _times(prediction: Prediction) -> dict[str, timedelta]:
    """How long a finished prediction waited for a worker, and how long that took."""
    if not prediction.finished_at or not prediction.started_at:
        return {}
    return {
        "waited": prediction.started_at - prediction.created_at,
        "took": prediction.finished_at - prediction.started_at,
    }


def _pause(prediction: Prediction) -> str:
    """How long a waiting page pauses before it asks again: little at first, when the answer is about to come."""
    waited = timezone.now() - prediction.created_at
    if waited < timedelta(seconds=15):
        return "500ms"
    return "2s" if waited < timedelta(minutes=2) else "5s"


def parse_ids(values: list[str]) -> set[UUID]:
    try:
        return {UUID(value) for value in values}
    except ValueError as error:
        raise Http404 from error


def _parse_waiting(values: list[str]) -> dict[UUID, str]:
    pairs = [value.partition(":") for value in values]
    try:
        return {UUID(radiograph_id): state for radiograph_id, _, state in pairs}
    except ValueError as error:
        raise Http404 from error
