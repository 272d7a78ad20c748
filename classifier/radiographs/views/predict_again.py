"""The live model asked about X-rays that an earlier one answered, in the background."""

from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from classifier.core.errors import CallusError, NotAllowedNow
from classifier.core.pagination import DeferredJoinPaginator
from classifier.core.requests import UserRequest, signed_in
from classifier.radiographs.models import PredictionBatch, Radiograph
from classifier.radiographs.services import predict_again, retry_prediction
from classifier.radiographs.views.history import parse_ids
from classifier.registry.models import ModelVersion

PAGE_SIZE = 24


@signed_in
@require_http_methods(["GET", "HEAD", "POST"])
def again(request: UserRequest) -> HttpResponse:
    """Asks first (GET), then starts (POST): id=ID, once or several times."""
    ids = parse_ids((request.POST if request.method == "POST" else request.GET).getlist("id"))
    radiographs = list(Radiograph.objects.visible_to(request.user).filter(id__in=ids).newest_first())
    if not ids:
        messages.info(request, "Tick the X-rays to predict again first.")
        return redirect("history")
    if len(radiographs) != len(ids):
        raise Http404
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
    pages = DeferredJoinPaginator(answered.newest_first().with_predictions(), PAGE_SIZE)
    page = pages.get_page(request.GET.get("page"))
    numbers = pages.get_elided_page_range(page.number, on_each_side=1, on_ends=1)
    return render(
        request, "radiographs/batch_detail.html", {**_progress(batch), "page": page, "page_numbers": numbers}
    )


@signed_in
@require_safe
def progress(request: UserRequest, batch_id: int) -> HttpResponse:
    """What the page asks again and again; 204 as long as it shows all there is to say."""
    context = _progress(_own(request, batch_id))
    if request.GET.get("seen") == context["seen"]:
        return HttpResponse(status=204)
    return render(request, "radiographs/_batch_progress.html", context)


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
