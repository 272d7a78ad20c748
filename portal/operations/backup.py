"""Writes a backup: one zip with all rows and files, consistent and with checksums, while the portal is running.

rows/NUMBER-APP.MODEL.jsonl   the rows of one table in Django's serialization format, one JSON object per line. A backup
                              of SQLite can therefore be restored into PostgreSQL and vice versa.
files/PATH                    the files that those rows refer to
manifest.json                 versions, counts, and the SHA-256 of each entry above

The rows are read first, in one snapshot. Files never change in place, so they can be copied afterwards. Files that are
deleted in between are listed as missing.
"""

import hashlib
import json
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core import serializers
from django.core.files.storage import default_storage
from django.core.serializers.json import DjangoJSONEncoder
from django.db import connection, models, transaction
from django.db.migrations.recorder import MigrationRecorder
from django.utils import timezone

from ml.files import whole_file
from portal.operations import stored_files

FORMAT = 1
CHUNK_BYTES = 1024**2
# State of running processes: after a restore, users sign in again and workers report again.
# Mails contain links that open accounts.
EXCLUDED_MODELS = {
    "accounts.outgoingmail",
    "core.writecount",
    "operations.canary",
    "sessions.session",
    "usersessions.usersession",
}


@dataclass
class Manifest:
    """The content of manifest.json.

    Attributes:
        version: version of Callus that made the backup.
        made_at: ISO 8601 time at which the backup started.
        migrations: applied migrations as "app.name".
        format: version of the backup format.
        rows: number of rows by model label.
        sha256: checksum by name of the zip entry.
        missing: files that were deleted, with their rows, while the backup was written.
    """

    version: str
    made_at: str
    migrations: list[str]
    format: int = FORMAT
    rows: dict[str, int] = field(default_factory=dict)
    sha256: dict[str, str] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)


class ExactEncoder(DjangoJSONEncoder):
    """Keeps microseconds, which Django's encoder drops."""

    def default(self, o: Any) -> Any:
        return o.isoformat() if isinstance(o, datetime) else super().default(o)


def write(target: Path) -> Manifest:
    """Write a backup that only its owner can read.

    Raises:
        FileExistsError: there is a file already.
    """
    if target.exists():
        raise FileExistsError(f"{target} already exists.")
    with whole_file(target, mode=0o600) as aside, zipfile.ZipFile(aside, "w") as archive:
        return _write_all(archive)


def included_models() -> list[type[models.Model]]:
    """Lists the models whose rows are in a backup."""
    found = apps.get_models(include_auto_created=True)
    return [
        model for model in found if model._meta.managed and model._meta.label_lower not in EXCLUDED_MODELS
    ]


def applied_migrations() -> list[str]:
    """Lists the applied migrations as "app.name"."""
    return sorted(f"{app}.{name}" for app, name in MigrationRecorder(connection).applied_migrations())


def _write_all(archive: zipfile.ZipFile) -> Manifest:
    made_at = timezone.now().isoformat()
    with _snapshot():
        manifest = Manifest(settings.VERSION, made_at, applied_migrations())
        for number, model in enumerate(included_models()):
            label = model._meta.label_lower
            manifest.rows[label] = _write_rows(archive, f"rows/{number:03}-{label}.jsonl", model, manifest)
        paths = sorted(set(stored_files.referenced_paths()))
    for path in paths:
        _write_file(archive, path, manifest)
    archive.writestr("manifest.json", json.dumps(vars(manifest), indent=1))
    return manifest


@contextmanager
def _snapshot() -> Iterator[None]:
    """Gives all reads in the block the same snapshot of the database, without blocking writers."""
    if connection.vendor == "sqlite":
        # Not atomic(), which would block writers, because our SQLite transactions are IMMEDIATE.
        with connection.cursor() as cursor:
            cursor.execute("BEGIN DEFERRED")
        try:
            yield
        finally:
            with connection.cursor() as cursor:
                cursor.execute("ROLLBACK")
    else:
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            yield


def _write_rows(archive: zipfile.ZipFile, name: str, model: type[models.Model], manifest: Manifest) -> int:
    number = 0

    def lines() -> Iterator[bytes]:
        nonlocal number
        # Without many-to-many fields, whose tables are included as models of their own.
        fields = [one.name for one in model._meta.concrete_fields]
        for row in model._base_manager.order_by("pk").iterator(chunk_size=500):
            line = serializers.serialize("jsonl", [row], fields=fields, cls=ExactEncoder)
            number += 1
            yield line.encode()

    _write(archive, zipfile.ZipInfo(name), lines(), manifest, zipfile.ZIP_DEFLATED)
    return number


def _write_file(archive: zipfile.ZipFile, path: str, manifest: Manifest) -> None:
    try:
        file = default_storage.open(path)
    except FileNotFoundError:
        manifest.missing.append(path)
        return
    with file:
        # Not compressed, because PNG, JPEG and zip files already are.
        _write(
            archive, zipfile.ZipInfo(f"files/{path}"), file.chunks(CHUNK_BYTES), manifest, zipfile.ZIP_STORED
        )


def _write(
    archive: zipfile.ZipFile,
    info: zipfile.ZipInfo,
    chunks: Iterable[bytes],
    manifest: Manifest,
    compress: int,
) -> None:
    digest = hashlib.sha256()
    info.compress_type = compress
    with archive.open(info, "w", force_zip64=True) as entry:
        for chunk in chunks:
            digest.update(chunk)
            entry.write(chunk)
    manifest.sha256[info.filename] = digest.hexdigest()
