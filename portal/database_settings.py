"""Django's settings of the database, from DATABASE_URL and DATABASE_PASSWORD."""

from pathlib import Path
from typing import Any

import dj_database_url
from django.core.exceptions import ImproperlyConfigured


def database(url: str, password: str, folder: Path) -> dict[str, Any]:
    """Returns the settings of the database of the URL, or of SQLite in `folder` if it is empty.

    Args:
        url: postgres://USER:PASSWORD@HOST:PORT/NAME.
        password: used instead of the one in the URL, where special characters would have to be percent-encoded.
        folder: the data folder.

    Raises:
        ImproperlyConfigured: the URL is malformed.
    """
    if not url:
        # WAL mode lets pages read during a write. synchronous=FULL, so that committed uploads survive a power failure.
        init = "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;"
        options = {"timeout": 20, "transaction_mode": "IMMEDIATE", "init_command": init}
        return {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": folder / "callus.sqlite3",
            "OPTIONS": options,
        }
    try:
        found: dict[str, Any] = dict(dj_database_url.parse(url, conn_max_age=60, conn_health_checks=True))
    except Exception as error:
        # Without the URL, which holds the password.
        raise ImproperlyConfigured(
            "DATABASE_URL must look like postgres://USER@HOST:5432/NAME. Set DATABASE_PASSWORD apart from it if the "
            "password has characters such as / or @."
        ) from error
    if password:
        found["PASSWORD"] = password
    return found
