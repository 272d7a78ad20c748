"""Middleware for trace ids, caching headers and full disks."""

import logging
import re
import time
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render

from classifier.core import trace
from classifier.core.errors import StorageFull
from classifier.core.storage import is_storage_full

log = logging.getLogger(__name__)

TRACE_ID = re.compile(r"[A-Za-z0-9-]{8,64}")


class TraceMiddleware:
    """Sets the trace id of the request (from X-Request-ID, if a proxy set it) and logs requests that change data.

    The log contains the route instead of the URL, which may contain a token.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        given = request.headers.get("X-Request-ID", "")
        trace_id = given if TRACE_ID.fullmatch(given) else trace.new()
        started = time.perf_counter()
        with trace.follow(trace_id):
            response = self.get_response(request)
            if request.method not in ("GET", "HEAD", "OPTIONS"):
                log.info("request", extra=_log_fields(request, response, started))
        response["X-Request-ID"] = trace_id
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


class StorageFullMiddleware:
    """Answers with an error page instead of a traceback if the disk or the database is full."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Returns the error response if the exception means that the storage is full."""
        if not isinstance(exception, StorageFull) and not is_storage_full(exception):
            return None
        log.error("The storage is full: %s", exception)
        error = StorageFull()
        if request.path_info.startswith("/api/"):
            return JsonResponse({"detail": str(error)}, status=error.status)
        return render(
            request, "error.html", {"title": "No space left", "message": error}, status=error.status
        )
