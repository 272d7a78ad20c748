"""What clinicians say of the answers: on each X-ray, and what is most worth a review."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from classifier.core.pages import form_page, poll
from classifier.core.pagination import CappedPaginator, numbered_page
from classifier.core.permissions import ADJUDICATE, REVIEW
from classifier.core.requests import UserRequest, may, signed_in
from classifier.radiographs.models import Prediction, Radiograph
from classifier.registry.models import ModelVersion
from classifier.reviews.forms import ReviewForm, WorklistForm
from classifier.reviews.limits import kind_limits_of, limits_of, missed_in_other_sources, never_tested_on
from classifier.reviews.models import Consensus, Review
from classifier.reviews.services import adjudicate, record_review


@signed_in
@require_safe
def show(request: UserRequest, radiograph_id: UUID) -> HttpResponse:
    return render(request, "reviews/radiograph_detail.html", with_answer(request, radiograph_id))


@signed_in
@require_safe
def answer(request: UserRequest, radiograph_id: UUID) -> HttpResponse:
    return poll(request, "reviews/_answer_update.html", with_answer(request, radiograph_id))


def with_answer(request: UserRequest, radiograph_id: UUID) -> dict[str, Any]:
    radiograph = Radiograph.objects.with_predictions().get_visible(request.user, radiograph_id)
    if radiograph is None:
        raise Http404
    prediction = radiograph.prediction
    predictions = radiograph.predictions.all()
    answered = next((one for one in predictions if one.state == Prediction.State.SUCCEEDED), None)
    pause = _pause(prediction)
    return {
        "radiograph": radiograph,
        "is_own": radiograph.owner_id == request.user.id,
        "prediction": prediction,
        **_times(prediction),
        "pause": pause,
        "is_slow": pause != "500ms",
        "seen": f"{prediction.state}-{pause}",
        "answered": answered,
        **(_judgement(request, radiograph, answered) if answered or prediction.is_finished else {}),
    }


def _judgement(request: UserRequest, radiograph: Radiograph, answered: Prediction | None) -> dict[str, Any]:
    """Returns what people and other model versions say.

    Args:
        answered: the newest answer, which the review form is about. A newer prediction waits or has failed, or it is
            the newest one itself.
    """
    related = radiograph.reviews.select_related("reviewer", "prediction__model_version")
    slim = related.defer("prediction__model_version__report")
    reviews = list(slim.visible_to(request.user).newest_first())
    standing = [review for review in reviews if not review.is_superseded]
    decision = next((review for review in standing if review.is_adjudication), None)
    latest = [review for review in standing if not review.is_adjudication]
    counted = [decision] if decision else latest
    is_disagreement = Consensus(counted).is_disagreement
    prediction, live = radiograph.prediction, ModelVersion.objects.live()
    known = {other.model_version_id for other in radiograph.predictions.all()}
    return {
        "reviews": [review for review in reviews if review != decision],
        "decision": decision,
        "latest": latest,
        "reviewer_boxes": [box for review in counted for box in review.boxes],
        "is_disagreement": is_disagreement,
        "may_adjudicate": (is_disagreement or decision) and request.user.has_perms((REVIEW, ADJUDICATE)),
        "review_form": (
            ReviewForm(prediction=answered) if answered and request.user.has_perm(REVIEW) else None
        ),
        "others": list(radiograph.predictions.all())[1:],
        "newer_live": live if live and live.pk not in known else None,
        "limits": limits_of(prediction),
        "kind_limits": kind_limits_of(prediction),
        "missed": missed_in_other_sources(prediction),
        "never_tested_on": never_tested_on(prediction),
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


@may(REVIEW)
@require_safe
def worklist(request: UserRequest) -> HttpResponse:
    form = WorklistForm(request.GET or None)
    is_refused = form.is_bound and not form.is_valid()
    finding = form.cleaned_data["finding"] if form.is_valid() else ""
    waiting = Prediction.objects.none() if is_refused else Prediction.objects.worklist(finding)
    related = waiting.select_related("radiograph", "model_version")
    slim = related.defer("model_version__report", "model_version__card")
    numbered = numbered_page(request, slim, CappedPaginator, filters=form.fields)
    page = numbered["page"]
    on_page = [prediction.radiograph_id for prediction in page]
    latest = Review.objects.counted().filter(radiograph__in=on_page).select_related("reviewer")
    said = Consensus.by_radiograph(latest)
    context = {
        "rows": [(prediction, said.get(prediction.radiograph_id)) for prediction in page],
        **numbered,
        "form": form,
        "is_filtered": is_refused or bool(finding),
        "newer": "Earlier",
        "older": "Later",
    }
    return render(request, "reviews/worklist.html", context, status=400 if is_refused else 200)


@may(REVIEW)
@require_POST
def review(request: UserRequest, radiograph_id: UUID, prediction_id: UUID) -> HttpResponse:
    """The address names the prediction, so that a review never judges one that came in the meantime."""
    prediction = _get_prediction(request, radiograph_id, prediction_id)
    act = partial(record_review, reviewer=request.user, prediction=prediction)
    return _review_page(request, prediction, act, "Review")


@may(REVIEW, ADJUDICATE)
@require_POST
def decide(request: UserRequest, radiograph_id: UUID, prediction_id: UUID) -> HttpResponse:
    """Decides a disagreement. The address names the prediction, as that of a review does."""
    prediction = _get_prediction(request, radiograph_id, prediction_id)
    act = partial(adjudicate, adjudicator=request.user, prediction=prediction)
    return _review_page(request, prediction, act, "Decision")


def _get_prediction(request: UserRequest, radiograph_id: UUID, prediction_id: UUID) -> Prediction:
    known = Prediction.objects.visible_to(request.user).select_related("radiograph", "model_version")
    return get_object_or_404(known, id=prediction_id, radiograph=radiograph_id)


def _review_page(
    request: UserRequest, prediction: Prediction, act: Callable[..., Review], kind: str
) -> HttpResponse:
    radiograph_id = prediction.radiograph_id

    def done(said: Review) -> HttpResponse:
        messages.success(request, f"{kind} saved: {said.summary[:1].upper()}{said.summary[1:]}.")
        return redirect("radiograph", radiograph_id)

    return form_page(
        request,
        partial(ReviewForm, prediction=prediction),
        act,
        done,
        "reviews/radiograph_detail.html",
        lambda form: {**with_answer(request, radiograph_id), "review_form": form},
    )
