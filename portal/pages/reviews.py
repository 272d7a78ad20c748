"""What clinicians say of the answers: on each X-ray, and what is most worth a review."""

from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST, require_safe

from classifier.errors import CallusError
from classifier.models import Consensus, Prediction, Review
from classifier.paging import FirstPages
from classifier.permissions import REVIEW
from classifier.services.record_review import record_review
from portal.pages.access import UserRequest, may
from portal.pages.radiographs import with_answer
from portal.pages.retraining_forms import ReviewForm

PAGE_SIZE = 24


@may(REVIEW)
@require_safe
def worklist(request: UserRequest) -> HttpResponse:
    related = Prediction.objects.worklist().select_related("radiograph", "model_version")
    slim = related.defer("saliency", "model_version__report", "model_version__card")
    pages = FirstPages(slim, PAGE_SIZE)
    page = pages.get_page(request.GET.get("page"))
    on_page = [prediction.radiograph_id for prediction in page]
    latest = Review.objects.latest().filter(radiograph__in=on_page).select_related("reviewer")
    said = Consensus.by_radiograph(latest)
    context = {
        "rows": [(prediction, said.get(prediction.radiograph_id)) for prediction in page],
        "page": page,
        "page_numbers": pages.get_elided_page_range(page.number, on_each_side=1, on_ends=1),
        "newer": "Earlier",
        "older": "Later",
    }
    return render(request, "reviews/worklist.html", context)


@may(REVIEW)
@require_POST
def review(request: UserRequest, radiograph_id: UUID, prediction_id: UUID) -> HttpResponse:
    """The prediction is named, so that a review never judges one that came in the meantime."""
    known = Prediction.objects.visible_to(request.user).select_related("radiograph", "model_version")
    prediction = get_object_or_404(known, id=prediction_id, radiograph=radiograph_id)
    sent = request.POST.copy()
    if "confirm" in sent:
        sent["finding"] = f"class:{prediction.class_name}"
    form = ReviewForm(sent, prediction=prediction)
    if form.is_valid():
        try:
            said = record_review(reviewer=request.user, prediction=prediction, **form.said)
        except CallusError as error:
            form.add_error(None, str(error))
        else:
            messages.success(request, f"Your review is kept: {said.finding[:1].upper()}{said.finding[1:]}.")
            return redirect("radiograph", radiograph_id)
    context = {**with_answer(request, radiograph_id), "review_form": form}
    return render(request, "radiographs/show.html", context, status=400)
