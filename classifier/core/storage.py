"""Writes files to the default storage, completely or not at all."""

from __future__ import annotations

import contextlib
import errno
import shutil
from typing import Any

from django.conf import settings
from django.core.files.base import ContentFile, File
from django.core.files.storage import default_storage
from django.db import DatabaseError, OperationalError, transaction

from classifier.core.errors import CallusError, DatabaseUnavailable, StorageAway, StorageFull

POSTGRES_DISK_FULL = "53100"
# What the kernel says of a network volume that is gone, and of a folder that cannot be written to.
AWAY = {
    getattr(errno, name)
    for name in (
        "EIO",
        "ESTALE",
        "ENOTCONN",
        "ETIMEDOUT",
        "EHOSTDOWN",
        "EHOSTUNREACH",
        "ENODEV",
        "EROFS",
        "EACCES",
        "ENOTDIR",
    )
}
S3_LIBRARIES = {"boto3", "botocore", "s3transfer"}
RETRY_SECONDS = 60
# Kept free on the disk of the data folder, where the embedded database is: signing in and deleting X-rays need some.
RESERVE_BYTES = 50 * 1024**2


def check_reserve() -> None:
    """Checks that an upload leaves people enough space to sign in and to delete X-rays.

    Raises:
        StorageFull: it does not.
    """
    # A folder that does not exist yet holds no database.
    with contextlib.suppress(FileNotFoundError):
        if shutil.disk_usage(settings.DATA_DIR).free < RESERVE_BYTES:
            raise StorageFull()


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


def delete_on_commit(path: str) -> None:
    """Deletes a file when the current transaction commits. If the storage is away then, the purge deletes the file."""
    # robust=True, because the rows are committed by then. Of a partial, Django could not log the error.
    transaction.on_commit(lambda: default_storage.delete(path), robust=True)


def expected_error(error: BaseException) -> CallusError | None:
    """Returns what to tell the user about an error of the storage or of the database, or None for other errors."""
    if is_storage_full(error):
        return StorageFull()
    # Of a damaged SQLite file, Django raises the general error.
    if isinstance(error, OperationalError) or type(error) is DatabaseError:
        return DatabaseUnavailable(retry_after=RETRY_SECONDS)
    return StorageAway(retry_after=RETRY_SECONDS) if _is_storage_away(error) else None


def _is_storage_away(error: BaseException) -> bool:
    if isinstance(error, OSError) and error.errno in AWAY:
        return True
    # By name, because portals without S3 do not load these libraries.
    return any(kind.__module__.partition(".")[0] in S3_LIBRARIES for kind in type(error).__mro__)


def is_storage_full(error: BaseException) -> bool:
    """Whether a file system or a database ran out of space."""
    if isinstance(error, StorageFull):
        return True
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    cause = error.__cause__
    sqlite_full = "disk is full" in str(error)
    return sqlite_full or getattr(cause, "sqlstate", None) == POSTGRES_DISK_FULL
