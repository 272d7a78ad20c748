"""The key that signs sessions: given by the operator, or made once and kept in the data folder."""

import contextlib
import os
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured
from django.core.management.utils import get_random_secret_key

MIN_LENGTH = 50
MIN_DISTINCT = 10


def check_strength(key: str) -> str:
    if len(key) < MIN_LENGTH or len(set(key)) < MIN_DISTINCT:
        raise ImproperlyConfigured(
            f"SECRET_KEY is too weak: it needs {MIN_LENGTH} characters or more, {MIN_DISTINCT} of them different."
        )
    return key


def read_or_create(path: Path) -> str:
    """The key kept in `path`; made when missing, readable by its owner alone.

    Several processes start at once: the first to link its finished file into place wins, all read that one.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_name(f"{path.name}.{os.getpid()}")
        with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(get_random_secret_key())
        with contextlib.suppress(FileExistsError):
            os.link(aside, path)
        aside.unlink()
    return check_strength(path.read_text(encoding="utf-8").strip())
