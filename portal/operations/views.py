"""How the portal is doing, for admins: the facts of /readyz and /metrics."""

from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from classifier.core.requests import UserRequest, signed_in
from portal.operations import facts, health
from portal.operations.models import Canary


@signed_in
@never_cache
@require_safe
def show(request: UserRequest) -> HttpResponse:
    if not request.user.is_superuser:
        raise Http404
    now = timezone.now()
    silences = {row.queue: now - row.last_sign for row in Canary.objects.all() if row.last_sign}
    context = {
        "checks": [(health.check(name), silences.get(name.removeprefix("queue "))) for name in health.CHECKS],
        "unfinished": facts.unfinished(),
        "recent": facts.recent(),
        "failures": facts.failures(),
        "live_model": facts.live_model(),
    }
    return render(request, "operations/status.html", context)
