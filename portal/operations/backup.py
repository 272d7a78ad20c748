"""A backup: one zip file with all rows and all files, consistent and checksummed, made while the portal serves.

rows/NUMBER-APP.MODEL.jsonl   the rows of one table, one JSON object a line, as Django serializes them: so a backup of
                              SQLite can be restored into PostgreSQL, and the other way round
files/PATH                    the files that those rows name
manifest.json                 versions, counts, and the SHA-256 of each of the above

The rows come first, read in one snapshot; files never change in place, so those that the rows name can be copied
afterwards. One that was deleted in between is listed as missing.
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
CHUNK = 1024**2
# The state of processes that run now: nobody is signed in after a restore, and queues show signs of life anew.
LEFT_OUT = {"sessions.session", "usersessions.usersession", "operations.canary", "core.writecount"}


@dataclass
class Manifest:
    version: str
    made_at: str
    migrations: list[str]
    format: int = FORMAT
    rows: dict[str, int] = field(default_factory=dict)
    sha256: dict[str, str] = field(default_factory=dict)
    # Files that were deleted, with their rows, between the two halves of the backup.
    missing: list[str] = field(default_factory=list)


class ExactEncoder(DjangoJSONEncoder):
    """Django's own cuts microseconds off."""

    def default(self, o: Any) -> Any:
        return o.isoformat() if isinstance(o, datetime) else super().default(o)


def write(target: Path) -> Manifest:
    """Write a backup that only its owner can read.

    Raises:
        FileExistsError: there is a file already.
    """
    if target.exists():
        raise FileExistsError(f"{target} exists already.")
    with whole_file(target, mode=0o600) as aside, zipfile.ZipFile(aside, "w") as archive:
        return _write_all(archive)


def models_to_keep() -> list[type[models.Model]]:
    found = apps.get_models(include_auto_created=True)
    return [model for model in found if model._meta.managed and model._meta.label_lower not in LEFT_OUT]


def applied_migrations() -> list[str]:
    return sorted(f"{app}.{name}" for app, name in MigrationRecorder(connection).applied_migrations())


def _write_all(archive: zipfile.ZipFile) -> Manifest:
    made_at = timezone.now().isoformat()
    with _snapshot():
        manifest = Manifest(settings.VERSION, made_at, applied_migrations())
        for number, model in enumerate(models_to_keep()):
            label = model._meta.label_lower
            manifest.rows[label] = _write_rows(archive, f"rows/{number:03}-{label}.jsonl", model, manifest)
        paths = sorted(set(stored_files.paths()))
    for path in paths:
        _write_file(archive, path, manifest)
    archive.writestr("manifest.json", json.dumps(vars(manifest), indent=1))
    return manifest


@contextmanager
def _snapshot() -> Iterator[None]:
    """All reads see the database as of the first one; nobody has to wait."""
    if connection.vendor == "sqlite":
        # Not atomic(), which would keep writers waiting: our SQLite transactions are IMMEDIATE.
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
        # Many-to-many relations are tables of their own here.
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
        # PNG, JPEG and zip are compressed already.
        _write(archive, zipfile.ZipInfo(f"files/{path}"), file.chunks(CHUNK), manifest, zipfile.ZIP_STORED)


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
