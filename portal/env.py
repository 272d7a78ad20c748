"""Reads settings from environment variables. Raises ImproperlyConfigured with a message for wrong values."""

import os
from pathlib import Path
from zoneinfo import ZoneInfo

from django.core.exceptions import ImproperlyConfigured


def text(name: str, default: str = "") -> str:
    """Returns the variable `name`, or the content of the file that `name`_FILE points to (for secrets)."""
    if path := os.environ.get(f"{name}_FILE"):
        try:
            return Path(path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ImproperlyConfigured(f"{name}_FILE={path} cannot be read: {error}.") from error
    return os.environ.get(name, "").strip() or default


def flag(name: str, default: bool = False) -> bool:
    """Returns a boolean variable."""
    value = os.environ.get(name, "").strip()
    return default if value.lower() in ("", "default") else parse_flag(name, value)


def parse_flag(name: str, value: str) -> bool:
    """Reads the value of a boolean variable."""
    value = value.lower()
    if value in ("1", "true", "yes", "on"):
        return True
    if value in ("0", "false", "no", "off"):
        return False
    raise ImproperlyConfigured(f"{name} must be true or false, received {value!r}.")


def number(name: str, default: int, *, minimum: int = 1, maximum: int | None = None) -> int:
    """Returns an integer variable of at least `minimum` and at most `maximum`."""
    value = os.environ.get(name, "").strip()
    if not value:
        return default
    result = parse_number(name, value, minimum=minimum)
    if maximum is not None and result > maximum:
        raise ImproperlyConfigured(f"{name} must be at most {maximum}, received {value!r}.")
    return result


def parse_number(name: str, value: str, *, minimum: int = 0) -> int:
    """Reads the value of an integer variable."""
    if not value.isascii() or not value.isdigit() or int(value) < minimum:
        raise ImproperlyConfigured(
            f"{name} must be a whole number of at least {minimum}, received {value!r}."
        )
    return int(value)


def choice(name: str, options: tuple[str, ...]) -> str:
    """Returns one of the options. The first one is the default."""
    value = os.environ.get(name, "").strip().lower() or options[0]
    if value not in options:
        raise ImproperlyConfigured(f"{name} must be one of {', '.join(options)}, received {value!r}.")
    return value


def time_zone(name: str, default: str) -> str:
    """Returns the name of a time zone."""
    value = text(name, default)
    try:
        return ZoneInfo(value).key
    except (ValueError, OSError, KeyError) as error:  # KeyError: no time zone has this name
        raise ImproperlyConfigured(
            f"{name} must be a time zone such as Europe/Berlin, received {value!r}."
        ) from error


def redis_url(name: str) -> str:
    """Returns the address of a Redis server, or "" if none is set."""
    value = text(name)
    if value and not value.startswith(("redis://", "rediss://")):
        raise ImproperlyConfigured(f"{name} must look like redis://HOST:6379/0.")
    return value
