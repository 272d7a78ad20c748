"""Whether the portal lives, whether all its parts work, and how they are doing. For machines; people have the
status page."""

import hmac
import logging
import os
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from celery import current_app
from django.conf import settings
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import connection
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from portal.operations import metrics
from portal.operations.models import QUEUES, Canary

log = logging.getLogger(__name__)
# So that nobody can make the portal write files as fast as they can ask.
REMEMBERED_SECONDS = 2.0


@dataclass(frozen=True)
class Check:
    name: str
    is_ok: bool
    # For the log and the status page; strangers are told no more than the name.
    problem: str = ""


class Silent(Exception):
    """A queue that nobody works on."""


@require_safe
def livez(request: HttpRequest) -> HttpResponse:
    """200 as soon as pages can be served."""
    return HttpResponse("ok\n", content_type="text/plain")


@require_safe
@never_cache
def readyz(request: HttpRequest) -> HttpResponse:
    """200 when all parts work, else 503. `?part=database&part=storage` asks for these alone: what an upload needs."""
    wanted = request.GET.getlist("part") or list(CHECKS)
    if not set(wanted) <= CHECKS.keys():
        raise Http404
    checks = [check(name) for name in wanted]
    is_ready = all(one.is_ok for one in checks)
    parts = {one.name: "ok" if one.is_ok else "failing" for one in checks}
    response = JsonResponse({"ready": is_ready, "parts": parts}, status=200 if is_ready else 503)
    # check() logs once a change; Django would once a question.
    response._has_been_logged = True  # type: ignore[attr-defined]
    return response


@require_safe
@never_cache
def metrics_view(request: HttpRequest) -> HttpResponse:
    """For Prometheus: with METRICS_TOKEN as bearer; without one, only on a portal that is not public, from its host."""
    if not _may_read_metrics(request):
        raise Http404
    return HttpResponse(metrics.as_text(), content_type=metrics.CONTENT_TYPE)


def check(name: str) -> Check:
    """The part's state, at most REMEMBERED_SECONDS old."""
    known = _remembered.get(name)
    if known and time.monotonic() - known[0] < REMEMBERED_SECONDS:
        return known[1]
    try:
        CHECKS[name]()
        found = Check(name, is_ok=True)
    except Silent as error:
        found = Check(name, is_ok=False, problem=str(error))
    except Exception as error:
        found = Check(name, is_ok=False, problem=f"{type(error).__name__}: {error}")
    if known and known[1].is_ok != found.is_ok:
        log.warning("ready" if found.is_ok else "not ready", extra={"part": name, "problem": found.problem})
    _remembered[name] = (time.monotonic(), found)
    return found


def _database() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


def _storage() -> None:
    """Writes a file, reads it back, deletes it."""
    path, content = f"probes/{uuid.uuid4()}", os.urandom(16)
    try:
        default_storage.save(path, ContentFile(content))
        with default_storage.open(path) as file:
            if file.read() != content:
                raise OSError("What was read is not what was written.")
    finally:
        default_storage.delete(path)


def _broker() -> None:
    with current_app.connection_for_write() as broker:
        broker.ensure_connection(max_retries=1, interval_start=0, timeout=2)
        broker.channel().close()  # type: ignore[attr-defined]


def _queue(name: str) -> Callable[[], None]:
    def has_come_through() -> None:
        canary = Canary.objects.filter(queue=name).first()
        if canary is None or not canary.is_alive:
            since = canary.last_sign if canary else None
            raise Silent(f"No test task came through since {since or 'the first start'}.")

    return has_come_through


CHECKS: dict[str, Callable[[], None]] = {
    "database": _database,
    "storage": _storage,
    "broker": _broker,
    **{f"queue {name}": _queue(name) for name in QUEUES},
}

_remembered: dict[str, tuple[float, Check]] = {}


def _may_read_metrics(request: HttpRequest) -> bool:
    if settings.METRICS_TOKEN:
        given = request.headers.get("Authorization", "")
        return hmac.compare_digest(given.encode(), f"Bearer {settings.METRICS_TOKEN}".encode())
    # Behind a proxy everybody comes from this host.
    return not settings.PUBLIC_URL and request.META.get("REMOTE_ADDR") in ("127.0.0.1", "::1")
