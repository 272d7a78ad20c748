"""Writes files to the default storage, completely or not at all."""

from __future__ import annotations

import errno
from typing import Any

from django.core.files.base import ContentFile, File
from django.core.files.storage import default_storage

from classifier.core.errors import StorageFull

POSTGRES_DISK_FULL = "53100"


def save(path: str, content: bytes | File[Any]) -> str:
    """Saves the content under an unused path and returns the path.

    Raises:
        StorageFull: the storage has no space left. No partial file remains.
    """
    try:
        file = ContentFile(content) if isinstance(content, bytes) else content
        return default_storage.save(path, file)
    except BaseException as error:
        default_storage.delete(path)
        if is_storage_full(error):
            raise StorageFull() from error
        raise


def is_storage_full(error: BaseException) -> bool:
    """Whether a file system or a database ran out of space."""
    if isinstance(error, StorageFull):
        return True
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    cause = error.__cause__
    sqlite_full = "disk is full" in str(error)
    return sqlite_full or getattr(cause, "sqlstate", None) == POSTGRES_DISK_FULL
