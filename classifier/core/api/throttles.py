"""How often one person, or one address that is not signed in, may call the API."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings
from django.core.cache import caches
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle, SimpleRateThrottle

from classifier.core.models import WriteCount

if TYPE_CHECKING:  # importing it would be a circle: it reads this class from the settings
    from rest_framework.views import APIView


MINUTE = 60.0


class Reads(SimpleRateThrottle):
    """Counted by each web process for itself: writing a row at each read would cost more than the read."""

    cache = caches["process"]
    scope = "reads"

    def get_rate(self) -> str:
        return f"{settings.API_READS_PER_MINUTE}/minute"

    def get_cache_key(self, request: Request, view: APIView) -> str | None:
        if request.method not in SAFE_METHODS:
            return None
        return self.cache_format % {"scope": self.scope, "ident": _who(request, self)}


class Writes(BaseThrottle):
    """Counted for all web processes together, from the first write on, for a minute."""

    def allow_request(self, request: Request, view: APIView) -> bool:
        if request.method in SAFE_METHODS:
            return True
        number, self._seconds_left = WriteCount.objects.add_one(_who(request, self), MINUTE)
        return number <= settings.API_WRITES_PER_MINUTE

    def wait(self) -> float:
        return self._seconds_left


def _who(request: Request, throttle: BaseThrottle) -> str:
    who = f"user-{request.user.pk}" if request.user.is_authenticated else throttle.get_ident(request)
    return who[:100]
