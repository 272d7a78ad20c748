"""Puts a backup back into an empty place. What does not fit, or is damaged, is refused before anything is written."""

import hashlib
import io
import json
import zipfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from django.apps import apps
from django.core import serializers
from django.core.files.base import File
from django.core.files.storage import default_storage
from django.core.management import call_command
from django.core.management.color import no_style
from django.db import connection, models, transaction

from portal.operations import backup
from portal.operations.backup import FORMAT, Manifest

ROWS_AT_ONCE = 200


class RestoreRefused(Exception):
    """str(error) is a sentence for the operator."""


def read(source: Path) -> Manifest:
    """Restore the backup; all of it or nothing.

    Raises:
        RestoreRefused: it is damaged or of another version, or the database or the storage is not empty.
    """
    try:
        archive = zipfile.ZipFile(source)
    except zipfile.BadZipFile:
        raise RestoreRefused(f"{source} is no backup, or it was cut off.") from None
    with archive:
        manifest = _verify(archive)
        _refuse_unless_empty()
        call_command("migrate", interactive=False, verbosity=0)
        if backup.applied_migrations() != manifest.migrations:
            raise RestoreRefused(
                f"The backup was made by Callus {manifest.version}, whose tables differ from this version's. "
                "Restore it with that version, then upgrade."
            )
        _refuse_if_files_exist(manifest)
        written: list[str] = []
        try:
            _restore_files(archive, manifest, written)
            with transaction.atomic():
                _restore_rows(archive, manifest)
        except BaseException:
            for path in written:
                default_storage.delete(path)
            raise
    return manifest


def _verify(archive: zipfile.ZipFile) -> Manifest:
    try:
        facts = json.loads(archive.read("manifest.json"))
    except (KeyError, ValueError, zipfile.BadZipFile):
        raise RestoreRefused("This file is no backup of Callus.") from None
    if facts.get("format") != FORMAT:
        raise RestoreRefused(f"This backup has format {facts.get('format')}; this version reads {FORMAT}.")
    manifest = Manifest(**facts)
    for name, expected in manifest.sha256.items():
        if _sha256(archive, name) != expected:
            raise RestoreRefused(f"The backup is damaged: {name} is not what was written.")
    return manifest


def _sha256(archive: zipfile.ZipFile, name: str) -> str:
    digest = hashlib.sha256()
    try:
        with archive.open(name) as entry:
            while chunk := entry.read(backup.CHUNK):
                digest.update(chunk)
    except (KeyError, zipfile.BadZipFile, OSError):
        return "unreadable"
    return digest.hexdigest()


def _refuse_unless_empty() -> None:
    """The tables may be there, as `migrate` makes them; a row that a person or `prepare` made may not."""
    tables = set(connection.introspection.table_names())
    for model in backup.models_to_keep():
        made_by_migrations = model._meta.app_label in ("contenttypes", "auth")
        if not made_by_migrations and model._meta.db_table in tables and model._base_manager.exists():
            raise RestoreRefused(
                f"The database is not empty: it has {model._meta.verbose_name_plural}. Restore into an empty one."
            )


def _refuse_if_files_exist(manifest: Manifest) -> None:
    for path in _paths(manifest):
        if default_storage.exists(path):
            raise RestoreRefused(f"The storage is not empty: it has {path}. Restore into an empty one.")


def _paths(manifest: Manifest) -> list[str]:
    return [name.removeprefix("files/") for name in manifest.sha256 if name.startswith("files/")]


def _restore_files(archive: zipfile.ZipFile, manifest: Manifest, written: list[str]) -> None:
    for path in _paths(manifest):
        written.append(path)
        with archive.open(f"files/{path}") as entry:
            kept = default_storage.save(path, File(entry))
        if kept != path:
            written.append(kept)
            raise RestoreRefused(f"The storage would keep {path} as {kept}.")


def _restore_rows(archive: zipfile.ZipFile, manifest: Manifest) -> None:
    """Foreign keys are checked at the end of the transaction, so the order does not matter."""
    for model in backup.models_to_keep():
        model._base_manager.all()._raw_delete(connection.alias)  # contenttypes and permissions, by `migrate`
    for name in manifest.sha256:
        if name.startswith("rows/"):
            model = apps.get_model(name.removesuffix(".jsonl").split("-", 1)[1])
            rows = _read_rows(archive, name)
            while some := list(islice(rows, ROWS_AT_ONCE)):
                _insert_as_they_are(model, some)
    with connection.cursor() as cursor:
        for statement in connection.ops.sequence_reset_sql(no_style(), backup.models_to_keep()):
            cursor.execute(statement)


def _read_rows(archive: zipfile.ZipFile, name: str) -> Iterator[models.Model]:
    with archive.open(name) as entry:
        for row in serializers.deserialize("jsonl", io.TextIOWrapper(entry, "utf-8")):
            yield row.object


def _insert_as_they_are(model: type[models.Model], rows: list[models.Model]) -> None:
    # bulk_create() would set auto_now_add fields to this minute.
    manager: Any = model._base_manager
    manager._insert(rows, fields=model._meta.concrete_fields, using=connection.alias, raw=True)
