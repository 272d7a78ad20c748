"""Who did what, and when; to be read, not changed."""

from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from classifier.models import AuditEntry
from classifier.permissions import VIEW
from portal.pages.access import UserRequest, may

PAGE_SIZE = 50


@may(VIEW)
@require_safe
def show(request: UserRequest) -> HttpResponse:
    pages = Paginator(AuditEntry.objects.newest_first(), PAGE_SIZE)
    page = pages.get_page(request.GET.get("page"))
    numbers = pages.get_elided_page_range(page.number, on_each_side=1, on_ends=1)
    return render(request, "training/audit_log.html", {"page": page, "page_numbers": numbers})
