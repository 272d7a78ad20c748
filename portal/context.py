from django.conf import settings
from django.http import HttpRequest

from classifier.core.models import Notification

# The bell says 99+ from here on.
MOST_UNREAD = 100


def portal(request: HttpRequest) -> dict[str, object]:
    """What every template may use."""
    return {
        "version": settings.VERSION,
        "sign_up_is_open": settings.SIGN_UP == "open",
        # Asked only where the bell is shown.
        "num_unread": lambda: Notification.objects.of(request.user).unread()[:MOST_UNREAD].count(),
    }
