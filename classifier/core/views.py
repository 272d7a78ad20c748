"""The audit log and notifications."""

import json

from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from classifier.core.csv_export import csv_response
from classifier.core.forms import AuditLogForm
from classifier.core.models import AuditEntry, Notification
from classifier.core.pagination import in_batches, keyset_page, numbered_page
from classifier.core.permissions import VIEW
from classifier.core.requests import UserRequest, check_query, may

AUDIT_LOG_PAGE_SIZE = 50


@may(VIEW)
@require_safe
def audit_log(request: UserRequest) -> HttpResponse:
    form = AuditLogForm(request.GET)
    check_query(request, {"after", "before", *form.fields})
    entries = form.entries() if form.is_valid() else AuditEntry.objects.none()
    page = keyset_page(entries, AUDIT_LOG_PAGE_SIZE, request.GET)
    status = 200 if form.is_valid() else 400
    return render(request, "core/audit_log.html", {"form": form, "page": page}, status=status)


@may(VIEW)
@require_safe
def audit_log_csv(request: UserRequest) -> HttpResponseBase:
    """The entries that the page shows with the same filters, newest first."""
    form = AuditLogForm(request.GET)
    check_query(request, form.fields)
    if not form.is_valid():
        return HttpResponse(next(iter(form.errors.values()))[0], status=400, content_type="text/plain")
    header = ["time", "person", "action", "about", "id", "name", "detail"]
    return csv_response("callus-audit-log.csv", header, map(_cells, in_batches(form.entries())))


def _cells(entry: AuditEntry) -> list[object]:
    return [
        entry.created_at.isoformat(),
        entry.actor_name or "Callus",
        entry.action,
        entry.subject,
        entry.subject_id,
        entry.subject_name,
        json.dumps(entry.detail, ensure_ascii=False),
    ]


@may(VIEW)
@require_safe
def notifications(request: UserRequest) -> HttpResponse:
    newest_first = Notification.objects.for_user(request.user)
    return render(request, "core/notification_list.html", numbered_page(request, newest_first))


@may(VIEW)
@require_POST
def mark_read(request: UserRequest) -> HttpResponse:
    Notification.objects.for_user(request.user).mark_read()
    return redirect("notifications")
