"""The clock that leases expire by."""

from datetime import datetime

from django.db import connection
from django.utils import timezone


def database_now() -> datetime:
    """Returns the time of the database server, which all hosts share.

    With local clocks, a lease taken by a host whose clock is an hour ahead would expire an hour late.
    """
    if connection.vendor != "postgresql":
        return timezone.now()  # SQLite runs on one host
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        now: datetime = cursor.fetchone()[0]
    return now
