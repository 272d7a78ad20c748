"""Which version is live: promoted, rolled back, and who decided that, when and why."""

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_safe

from classifier.core.errors import CallusError
from classifier.core.permissions import PROMOTE, VIEW
from classifier.core.requests import UserRequest, may
from classifier.registry.models import ModelVersion, Promotion
from classifier.training import gate
from classifier.training.forms import PromotionForm
from classifier.training.services import promote_version, roll_back

PAGE_SIZE = 24


@may(VIEW)
@require_safe
def overview(request: UserRequest) -> HttpResponse:
    related = Promotion.objects.select_related("model_version", "promoted_by")
    slim = related.defer("model_version__report", "model_version__card")
    pages = Paginator(slim.newest_first(), PAGE_SIZE)
    page = pages.get_page(request.GET.get("page"))
    context = {
        "page": page,
        "page_numbers": pages.get_elided_page_range(page.number, on_each_side=1, on_ends=1),
        "before": Promotion.objects.before_live(),
    }
    return render(request, "training/promotion_list.html", context)


@may(PROMOTE)
@require_http_methods(["GET", "HEAD", "POST"])
def promote(request: UserRequest, number: int) -> HttpResponse:
    version = get_object_or_404(ModelVersion.objects.select_related("training_run"), number=number)
    live = ModelVersion.objects.live()
    judgement = gate.judge(version, live)
    is_reason_needed = bool(judgement.objection)
    form = PromotionForm(is_reason_needed=is_reason_needed)
    status = 200
    if request.method == "POST":
        form = PromotionForm(request.POST, is_reason_needed=is_reason_needed)
        status = 400
        if form.is_valid():
            try:
                promote_version(user=request.user, version=version, reason=form.cleaned_data["reason"])
            except CallusError as error:
                form.add_error(None, str(error))
                status = error.status
            else:
                messages.success(request, f"{version} is live: it answers what is uploaded from now on.")
                return redirect("promotions")
    context = {"form": form, "model": version, "live": live, "judgement": judgement}
    return render(request, "training/model_promote.html", context, status=status)


@may(PROMOTE)
@require_http_methods(["GET", "HEAD", "POST"])
def roll_back_live(request: UserRequest) -> HttpResponse:
    """Asks first (GET), then rolls back (POST)."""
    if request.method != "POST":
        context = {
            "form": PromotionForm(is_reason_needed=False),
            "live": ModelVersion.objects.live(),
            "before": Promotion.objects.before_live(),
        }
        return render(request, "training/model_roll_back.html", context)
    form = PromotionForm(request.POST, is_reason_needed=False)
    try:
        reason = form.cleaned_data["reason"] if form.is_valid() else ""
        promotion = roll_back(user=request.user, reason=reason)
    except CallusError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, f"{promotion.model_version} is live again.")
    return redirect("promotions")
