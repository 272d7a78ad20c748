"""Requests new predictions from the live model, for one X-ray or a selection."""

from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from classifier.core.errors import CallusError, NotAllowedNow
from classifier.core.pages import poll
from classifier.core.pagination import numbered_page
from classifier.core.requests import UserRequest, signed_in
from classifier.radiographs.models import PredictionBatch, Radiograph
from classifier.radiographs.services import predict_again, retry_prediction
from classifier.radiographs.views.history import selected
from classifier.registry.models import ModelVersion


@signed_in
@require_http_methods(["GET", "HEAD", "POST"])
def again(request: UserRequest) -> HttpResponse:
    """Asks first (GET), then starts (POST): id=ID, once or several times."""
    radiographs = selected(request, Radiograph.objects.visible_to(request.user))
    if not radiographs:
        messages.info(request, "Tick the X-rays to predict again first.")
        return redirect("history")
    if request.method != "POST":
        context = {"radiographs": radiographs, "live": ModelVersion.objects.live()}
        return render(request, "radiographs/prediction_again.html", context)
    try:
        batch = predict_again(user=request.user, radiographs=radiographs)
    except CallusError as error:
        messages.error(request, str(error))
        return redirect("radiograph", radiographs[0].id) if len(radiographs) == 1 else redirect("history")
    if len(radiographs) == 1:
        return redirect("radiograph", radiographs[0].id)
    return redirect("prediction_batch", batch.pk)


@signed_in
@require_safe
def show(request: UserRequest, batch_id: int) -> HttpResponse:
    batch = _own(request, batch_id)
    answered = Radiograph.objects.visible_to(request.user).filter(predictions__batch=batch)
    context = {**_progress(batch), **numbered_page(request, answered.newest_first().with_predictions())}
    return render(request, "radiographs/batch_detail.html", context)


@signed_in
@require_safe
def progress(request: UserRequest, batch_id: int) -> HttpResponse:
    return poll(request, "radiographs/_batch_progress.html", _progress(_own(request, batch_id)))


def _own(request: UserRequest, batch_id: int) -> PredictionBatch:
    own = PredictionBatch.objects.filter(created_by=request.user).select_related("model_version")
    return get_object_or_404(own.defer("model_version__report"), id=batch_id)


def _progress(batch: PredictionBatch) -> dict[str, object]:
    counts = batch.progress()
    finished = counts["done"] + counts["failed"]
    return {"batch": batch, "counts": counts, "finished": finished, "seen": f"{counts['done']}-{finished}"}


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
