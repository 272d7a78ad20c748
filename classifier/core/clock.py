"""The clock that leases are told by."""

from datetime import datetime

from django.db import connection
from django.utils import timezone


def database_now() -> datetime:
    """The time by the database's clock, which all hosts share.

    By its own, a worker whose clock is an hour ahead would hold what it was killed over for an hour.
    """
    if connection.vendor != "postgresql":
        return timezone.now()  # SQLite has one host
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        now: datetime = cursor.fetchone()[0]
    return now
