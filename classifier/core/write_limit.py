"""The limit of writes a minute, for the API and for the upload page, which count together."""

from typing import Any

from django.conf import settings

from classifier.core.errors import TooManyRequests
from classifier.core.models import WriteCount

PERIOD_SECONDS = 60.0


def count_write(who: str) -> float:
    """Counts one write. Returns 0, or the seconds to wait if there are too many within a minute from the first one.

    All web processes count together, in the database.
    """
    number, seconds_left = WriteCount.objects.add_one(who[:100], PERIOD_SECONDS)
    return seconds_left if number > settings.API_WRITES_PER_MINUTE else 0.0


def name_of(user: Any) -> str:
    """Returns under which name the writes of a user are counted."""
    return f"user-{user.pk}"


def check(user: Any) -> None:
    """Counts one write of a signed-in user.

    Raises:
        TooManyRequests: there are too many.
    """
    if wait := count_write(name_of(user)):
        raise TooManyRequests(retry_after=wait)
