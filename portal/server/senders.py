"""Who sends a request, before its body is read."""

from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user
from django.contrib.sessions.middleware import SessionMiddleware
from django.core.handlers.wsgi import WSGIRequest
from django.db import DatabaseError, close_old_connections
from django.http import HttpResponse
from rest_framework.exceptions import AuthenticationFailed

from classifier.core.api.authentication import TokenAuthentication
from classifier.core.permissions import TRAIN
from portal.uploads import ENVELOPE_BYTES

# Enough for each form and JSON document of a visitor who is not signed in.
ANONYMOUS_MAX_BYTES = 64 * 1024

_sessions = SessionMiddleware(lambda request: HttpResponse())


@dataclass(frozen=True)
class Sender:
    """A signed-in user, by session or token.

    Attributes:
        user_id: primary key of the user.
        max_bytes: the largest body that is read from this user.
    """

    user_id: int
    max_bytes: int


def identify(environ: dict[str, Any]) -> Sender | None:
    """Returns who sends the request, or None for a visitor, and while the database cannot be reached."""
    request = WSGIRequest(environ)
    try:
        close_old_connections()
        user = _user_of(request)
        if user is None or not user.is_authenticated:
            return None
        limit = settings.DATASET_MAX_BYTES if user.has_perm(TRAIN) else settings.UPLOAD_MAX_BYTES
    except DatabaseError:
        # The view finds out too, and says so.
        return None
    return Sender(user.pk, limit + ENVELOPE_BYTES)


def _user_of(request: Any) -> Any:
    try:
        found = TokenAuthentication().authenticate(request)
    except AuthenticationFailed:
        return None
    if found:
        return found[0]
    _sessions.process_request(request)
    return get_user(request)
