"""The audit log and notifications."""

from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from classifier.core.models import AuditEntry, Notification
from classifier.core.pagination import keyset_page, numbered_page
from classifier.core.permissions import VIEW
from classifier.core.requests import UserRequest, check_query, may

AUDIT_LOG_PAGE_SIZE = 50


@may(VIEW)
@require_safe
def audit_log(request: UserRequest) -> HttpResponse:
    check_query(request, ("after", "before"))
    page = keyset_page(AuditEntry.objects.all(), AUDIT_LOG_PAGE_SIZE, request.GET)
    return render(request, "core/audit_log.html", {"page": page})


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
