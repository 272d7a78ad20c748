"""Who did what, and when; to be read, not changed."""

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from classifier.models import AuditEntry
from classifier.permissions import VIEW
from portal.pages.access import UserRequest, may
from portal.pages.stretch import stretch

PAGE_SIZE = 50


@may(VIEW)
@require_safe
def show(request: UserRequest) -> HttpResponse:
    page = stretch(AuditEntry.objects.all(), PAGE_SIZE, request.GET)
    return render(request, "training/audit_log.html", {"page": page})
