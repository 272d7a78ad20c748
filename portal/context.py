"""The context processor for all templates."""

from django.conf import settings
from django.http import HttpRequest

from classifier.core.models import Notification

# From this number on, the bell shows 99+.
MAX_UNREAD = 100


def portal(request: HttpRequest) -> dict[str, object]:
    """Returns the variables that every template can use."""
    return {
        "version": settings.VERSION,
        "sign_up_is_open": settings.SIGN_UP == "open",
        # A callable, so that the query runs only on pages that show the bell.
        "num_unread": lambda: Notification.objects.for_user(request.user).unread()[:MAX_UNREAD].count(),
    }
