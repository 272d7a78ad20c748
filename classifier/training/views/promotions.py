"""Which version is live: promoted, rolled back, and who decided that, when and why."""

from functools import partial

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from classifier.core.errors import CallusError
from classifier.core.pages import form_page
from classifier.core.pagination import numbered_page
from classifier.core.permissions import PROMOTE, VIEW
from classifier.core.requests import UserRequest, may
from classifier.registry.models import ModelVersion, Promotion, PromotionRequest, PromotionRequestQuerySet
from classifier.training import gate
from classifier.training.forms import PromotionForm, RollBackForm
from classifier.training.promotions import (
    confirm_promotion,
    decline_promotion,
    others_who_may_promote,
    promote_version,
    roll_back,
)


@may(VIEW)
@require_safe
def overview(request: UserRequest) -> HttpResponse:
    related = Promotion.objects.select_related("model_version", "promoted_by", "confirmed_by")
    slim = related.defer("model_version__report", "model_version__card")
    context = {
        **numbered_page(request, slim.with_comparison().newest_first()),
        "before": Promotion.objects.before_live(),
        "waiting": _requests().waiting().newest_first(),
    }
    return render(request, "training/promotion_list.html", context)


def _requests() -> PromotionRequestQuerySet:
    related = PromotionRequest.objects.select_related("model_version", "live", "requested_by", "decided_by")
    return related.defer("model_version__report", "live__report")


@may(PROMOTE)
@require_http_methods(["GET", "HEAD", "POST"])
def promote(request: UserRequest, number: int) -> HttpResponse:
    version = get_object_or_404(ModelVersion.objects.select_related("training_run"), number=number)
    live = ModelVersion.objects.live()
    result = gate.check(version, live)

    def done(made: Promotion | PromotionRequest) -> HttpResponse:
        if isinstance(made, PromotionRequest):
            messages.success(request, f"{version} is not live yet: a second person must confirm it.")
            return redirect("promotion_request", made.pk)
        messages.success(request, f"{version} is live. It answers all uploads from now on.")
        return redirect("promotions")

    return form_page(
        request,
        partial(PromotionForm, is_reason_needed=bool(result.objection)),
        partial(promote_version, user=request.user, version=version, seen_live=request.POST.get("live", "")),
        done,
        "training/model_promote.html",
        lambda form: {
            "model": version,
            "live": live,
            "gate": result,
            "changed": gate.parts_changed(version, live),
            "waiting": _requests().waiting().filter(model_version=version).first(),
            "is_only_one": not others_who_may_promote(request.user).exists(),
        },
    )


@may(VIEW)
@require_safe
def show_request(request: UserRequest, request_id: int) -> HttpResponse:
    asked = get_object_or_404(_requests(), id=request_id)
    context = {
        "asked": asked,
        "gate": gate.check(asked.model_version, asked.live),
        "changed": gate.parts_changed(asked.model_version, asked.live),
        "is_own": asked.requested_by == request.user,
        "is_only_one": not others_who_may_promote(asked.requested_by).exists(),
    }
    return render(request, "training/promotion_request_detail.html", context)


@may(PROMOTE)
@require_POST
def confirm(request: UserRequest, request_id: int) -> HttpResponse:
    asked = get_object_or_404(_requests(), id=request_id)
    try:
        promotion = confirm_promotion(user=request.user, request=asked)
    except CallusError as error:
        messages.error(request, str(error))
        return redirect("promotion_request", request_id)
    messages.success(request, f"{promotion.model_version} is live. It answers all uploads from now on.")
    return redirect("promotions")


@may(PROMOTE)
@require_POST
def decline(request: UserRequest, request_id: int) -> HttpResponse:
    asked = get_object_or_404(_requests(), id=request_id)
    try:
        declined = decline_promotion(user=request.user, request=asked)
    except CallusError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, f"The request is {declined.get_state_display()}. Nothing has changed.")
    return redirect("promotion_request", request_id)


@may(PROMOTE)
@require_http_methods(["GET", "HEAD", "POST"])
def roll_back_live(request: UserRequest) -> HttpResponse:
    """Asks first (GET), then rolls back (POST)."""

    def done(promotion: Promotion) -> HttpResponse:
        messages.success(request, f"{promotion.model_version} is live again.")
        return redirect("promotions")

    return form_page(
        request,
        RollBackForm,
        partial(roll_back, user=request.user, seen_live=request.POST.get("live", "")),
        done,
        "training/model_roll_back.html",
        lambda form: {"live": ModelVersion.objects.live(), "before": Promotion.objects.before_live()},
    )
