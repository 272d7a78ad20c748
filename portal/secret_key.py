"""The key that signs sessions: set by the operator, or generated once and stored in the data folder."""

import contextlib
import os
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured
from django.core.management.utils import get_random_secret_key

MIN_LENGTH = 50
MIN_DISTINCT = 10


def check_strength(key: str) -> str:
    """Returns the key.

    Raises:
        ImproperlyConfigured: the key is too short or too uniform.
    """
    if len(key) < MIN_LENGTH or len(set(key)) < MIN_DISTINCT:
        raise ImproperlyConfigured(
            f"SECRET_KEY is too weak. Use at least {MIN_LENGTH} characters, {MIN_DISTINCT} of them different."
        )
    return key


def read_or_create(path: Path) -> str:
    """Returns the key stored in `path`, which is created if needed and readable only by its owner.

    Several processes may start at once. The first to link its complete file to `path` wins, and all read that file.
    """
    if not path.exists():
        aside = path.with_name(f"{path.name}.{os.getpid()}")
        with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(get_random_secret_key())
        with contextlib.suppress(FileExistsError):
            os.link(aside, path)
        aside.unlink()
    return check_strength(path.read_text(encoding="utf-8").strip())
