"""What became of the things a person started."""

from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from classifier.models import Notification
from classifier.paging import Pages
from classifier.permissions import VIEW
from portal.pages.access import UserRequest, may

PAGE_SIZE = 24


@may(VIEW)
@require_safe
def show(request: UserRequest) -> HttpResponse:
    pages = Pages(Notification.objects.of(request.user), PAGE_SIZE)
    page = pages.get_page(request.GET.get("page"))
    numbers = pages.get_elided_page_range(page.number, on_each_side=1, on_ends=1)
    return render(request, "training/notifications.html", {"page": page, "page_numbers": numbers})


@may(VIEW)
@require_POST
def mark_read(request: UserRequest) -> HttpResponse:
    Notification.objects.of(request.user).mark_read()
    return redirect("notifications")
