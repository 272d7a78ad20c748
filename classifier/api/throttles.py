"""How often one person, or one address that is not signed in, may call the API."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings
from django.core.cache import caches
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.throttling import SimpleRateThrottle

if TYPE_CHECKING:  # importing it would be a circle: it reads this class from the settings
    from rest_framework.views import APIView


class Reads(SimpleRateThrottle):
    """Counted by each web process for itself: writing a row at each read would cost more than the read."""

    cache = caches["process"]
    scope = "reads"

    def get_rate(self) -> str:
        return f"{settings.API_READS_PER_MINUTE}/minute"

    def get_cache_key(self, request: Request, view: APIView) -> str | None:
        return self._key(request) if request.method in SAFE_METHODS else None

    def _key(self, request: Request) -> str:
        who = f"user-{request.user.pk}" if request.user.is_authenticated else self.get_ident(request)
        return self.cache_format % {"scope": self.scope, "ident": who}


class Writes(Reads):
    """Counted for all web processes together."""

    cache = caches["default"]
    scope = "writes"

    def get_rate(self) -> str:
        return f"{settings.API_WRITES_PER_MINUTE}/minute"

    def get_cache_key(self, request: Request, view: APIView) -> str | None:
        return None if request.method in SAFE_METHODS else self._key(request)
