"""Limits how often a user may call the API; who is not signed in is counted by IP address."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings
from django.core.cache import caches
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle, SimpleRateThrottle

from classifier.core.write_limit import count_write, name_of

if TYPE_CHECKING:  # an import cycle at run time: rest_framework.views loads these classes from the settings
    from rest_framework.views import APIView


class ReadThrottle(SimpleRateThrottle):
    """Limits reads. Each web process counts on its own: a row written at each read would cost more than the read."""

    cache = caches["process"]
    scope = "reads"

    def get_rate(self) -> str:
        return f"{settings.API_READS_PER_MINUTE}/minute"

    def get_cache_key(self, request: Request, view: APIView) -> str | None:
        if request.method not in SAFE_METHODS:
            return None
        return self.cache_format % {"scope": self.scope, "ident": _client(request, self)}


class WriteThrottle(BaseThrottle):
    """Limits writes, together with those on pages."""

    def allow_request(self, request: Request, view: APIView) -> bool:
        if request.method in SAFE_METHODS:
            return True
        self._seconds_left = count_write(_client(request, self))
        return not self._seconds_left

    def wait(self) -> float:
        return self._seconds_left


def _client(request: Request, throttle: BaseThrottle) -> str:
    """Names the user or, when nobody is signed in, the IP address."""
    return name_of(request.user) if request.user.is_authenticated else throttle.get_ident(request)
