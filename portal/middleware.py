"""Middleware for trace ids, caching headers and full disks."""

import logging
import time
from collections.abc import Callable

from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.loader import render_to_string

from classifier.core import trace
from classifier.core.errors import CallusError, StorageFull
from classifier.core.models import WriteCount
from classifier.core.requests import wants_json
from classifier.core.storage import expected_error
from classifier.core.write_limit import PERIOD_SECONDS

log = logging.getLogger(__name__)
# The longest period of ACCOUNT_RATE_LIMITS.
LOCKED_SECONDS = 300


class TraceMiddleware:
    """Gives the request its trace id, that of X-Request-ID if it has one, and logs the response.

    The log has the route, not the address, which may contain a token. Requests that only read are not logged.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        started = time.perf_counter()
        with trace.follow(request.headers.get(trace.HEADER, "")) as trace_id:
            response = self.get_response(request)
            if request.method not in ("GET", "HEAD", "OPTIONS"):
                log.info("request", extra=_log_fields(request, response, started))
        response[trace.HEADER] = trace_id
        return response


def _log_fields(request: HttpRequest, response: HttpResponse, started: float) -> dict[str, object]:
    user = getattr(request, "user", None)
    return {
        "method": request.method,
        "route": request.resolver_match.route if request.resolver_match else None,
        "status": response.status_code,
        "milliseconds": round((time.perf_counter() - started) * 1000),
        "user": user.pk if user is not None and user.is_authenticated else None,
    }


class NoStoreMiddleware:
    """Adds Cache-Control: no-store by default, so that pages with personal data are not cached after sign-out."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        response.headers.setdefault("Cache-Control", "private, no-store")
        return response


class RetryAfterMiddleware:
    """Adds Retry-After to each 429 whose view does not know it: those of locked names and addresses.

    Attempts are counted in the cache, which hides that the database is full and then refuses every attempt. Such an
    answer is replaced by one that says so.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if response.status_code == 429 and "Retry-After" not in response:
            try:
                WriteCount.objects.add_one("refused", PERIOD_SECONDS)
            except DatabaseError as error:
                if full := expected_error(error):
                    return respond(request, full)
            response.headers.setdefault("Retry-After", str(LOCKED_SECONDS))
        return response


class StorageErrorMiddleware:
    """Answers with a sentence instead of a traceback if the disk is full, or the storage or the database is away."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        error = expected_error(exception)
        if error is None:
            return None
        log.error("%s: %s", type(error).__name__, exception)
        return respond(request, error)


def respond(request: HttpRequest, error: CallusError) -> HttpResponse:
    """Returns the error as a page or, for scripts, as JSON."""
    response: HttpResponse
    if request.path_info.startswith("/api/") or wants_json(request):
        response = JsonResponse({"detail": str(error)}, status=error.status)
    else:
        title = "No space left" if isinstance(error, StorageFull) else "Not available now"
        # Without the request, the page asks the database nothing, which may be what cannot be reached.
        page = render_to_string("error.html", {"title": title, "message": error})
        response = HttpResponse(page, status=error.status)
    for name, value in error.headers.items():
        response[name] = value
    return response
