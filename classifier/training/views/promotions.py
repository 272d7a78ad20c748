"""Which version is live: promoted, rolled back, and who decided that, when and why."""

from functools import partial

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_safe

from classifier.core.pages import form_page
from classifier.core.pagination import numbered_page
from classifier.core.permissions import PROMOTE, VIEW
from classifier.core.requests import UserRequest, may
from classifier.registry.models import ModelVersion, Promotion
from classifier.training import gate
from classifier.training.forms import PromotionForm
from classifier.training.services import promote_version, roll_back


@may(VIEW)
@require_safe
def overview(request: UserRequest) -> HttpResponse:
    related = Promotion.objects.select_related("model_version", "promoted_by")
    slim = related.defer("model_version__report", "model_version__card")
    context = {
        **numbered_page(request, slim.newest_first()),
        "before": Promotion.objects.before_live(),
    }
    return render(request, "training/promotion_list.html", context)


@may(PROMOTE)
@require_http_methods(["GET", "HEAD", "POST"])
def promote(request: UserRequest, number: int) -> HttpResponse:
    version = get_object_or_404(ModelVersion.objects.select_related("training_run"), number=number)
    live = ModelVersion.objects.live()
    result = gate.check(version, live)

    def done(promotion: Promotion) -> HttpResponse:
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
        },
    )


@may(PROMOTE)
@require_http_methods(["GET", "HEAD", "POST"])
def roll_back_live(request: UserRequest) -> HttpResponse:
    """Asks first (GET), then rolls back (POST)."""

    def done(promotion: Promotion) -> HttpResponse:
        messages.success(request, f"{promotion.model_version} is live again.")
        return redirect("promotions")

    return form_page(
        request,
        partial(PromotionForm, is_reason_needed=False),
        partial(roll_back, user=request.user, seen_live=request.POST.get("live", "")),
        done,
        "training/model_roll_back.html",
        lambda form: {"live": ModelVersion.objects.live(), "before": Promotion.objects.before_live()},
    )
