"""Health checks for monitoring: /livez, /readyz and /metrics. The status page shows the same to people."""

import hmac
import logging
import os
import tempfile
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from celery import current_app
from django.conf import settings
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from classifier.core.models import User
from portal.operations import metrics
from portal.operations.models import QUEUES, Canary

log = logging.getLogger(__name__)
# Limits how often the storage check writes a file.
CACHE_SECONDS = 2.0


@dataclass(frozen=True)
class Check:
    """The result of checking one component.

    Attributes:
        name: name of the component.
        is_ok: whether it works.
        problem: error message for the log and the status page. Not part of the public answer.
    """

    name: str
    is_ok: bool
    problem: str = ""


class QueueNotServed(Exception):
    """No worker serves the queue."""


@require_safe
def livez(request: HttpRequest) -> HttpResponse:
    """Answers 200 as soon as pages can be served."""
    return HttpResponse("ok\n", content_type="text/plain")


@require_safe
@never_cache
def readyz(request: HttpRequest) -> HttpResponse:
    """Answers 200 if all components work, else 503. `?part=database&part=storage` limits it to what an upload needs."""
    wanted = request.GET.getlist("part") or list(CHECKS)
    if not set(wanted) <= CHECKS.keys():
        raise Http404
    checks = [check(name) for name in wanted]
    is_ready = all(one.is_ok for one in checks)
    parts = {one.name: "ok" if one.is_ok else "failing" for one in checks}
    response = JsonResponse({"ready": is_ready, "parts": parts}, status=200 if is_ready else 503)
    # check() logs each change of state. Django would log each failing request.
    response._has_been_logged = True  # type: ignore[attr-defined]
    return response


@require_safe
@never_cache
def metrics_view(request: HttpRequest) -> HttpResponse:
    """Returns metrics for Prometheus.

    Requires METRICS_TOKEN as bearer token. If it is not set, only requests from the portal's own host are allowed, and
    only without PUBLIC_URL.
    """
    if not _can_read_metrics(request):
        raise Http404
    return HttpResponse(metrics.as_text(), content_type=metrics.CONTENT_TYPE)


def check(name: str) -> Check:
    """Returns the state of a component, at most CACHE_SECONDS old."""
    known = _results.get(name)
    if known and time.monotonic() - known[0] < CACHE_SECONDS:
        return known[1]
    try:
        CHECKS[name]()
        found = Check(name, is_ok=True)
    except QueueNotServed as error:
        found = Check(name, is_ok=False, problem=str(error))
    except Exception as error:
        found = Check(name, is_ok=False, problem=f"{type(error).__name__}: {error}")
    if known and known[1].is_ok != found.is_ok:
        log.warning("ready" if found.is_ok else "not ready", extra={"part": name, "problem": found.problem})
    _results[name] = (time.monotonic(), found)
    return found


def _database() -> None:
    """Reads a row. Without a table, SQLite would not read its file, which may be damaged."""
    User.objects.order_by("id").first()


def _storage() -> None:
    """Writes a file, reads it back and deletes it, and checks the folder of uploads that are under way."""
    with tempfile.TemporaryFile(dir=settings.FILE_UPLOAD_TEMP_DIR):
        pass
    path, content = f"probes/{uuid.uuid4()}", os.urandom(16)
    try:
        default_storage.save(path, ContentFile(content))
        with default_storage.open(path) as file:
            if file.read() != content:
                raise OSError("The content that was read differs from what was written.")
    finally:
        default_storage.delete(path)


def _broker() -> None:
    with current_app.connection_for_write() as broker:
        broker.ensure_connection(max_retries=1, interval_start=0, timeout=2)
        broker.channel().close()  # type: ignore[attr-defined]


def _queue(name: str) -> Callable[[], None]:
    def check_queue() -> None:
        canary = Canary.objects.filter(queue=name).first()
        if canary is None or not canary.is_alive:
            since = canary.last_sign if canary else None
            raise QueueNotServed(f"No test task has arrived since {since or 'the first start'}.")

    return check_queue


CHECKS: dict[str, Callable[[], None]] = {
    "database": _database,
    "storage": _storage,
    "broker": _broker,
    **{f"queue {name}": _queue(name) for name in QUEUES},
}

_results: dict[str, tuple[float, Check]] = {}


def _can_read_metrics(request: HttpRequest) -> bool:
    if settings.METRICS_TOKEN:
        given = request.headers.get("Authorization", "")
        return hmac.compare_digest(given.encode(), f"Bearer {settings.METRICS_TOKEN}".encode())
    # Behind a proxy on this host, all requests have a local address.
    return not settings.PUBLIC_URL and request.META.get("REMOTE_ADDR") in ("127.0.0.1", "::1")
