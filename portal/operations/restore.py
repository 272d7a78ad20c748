"""Restores a backup into an empty database and storage. Checks the backup before anything is written."""

import hashlib
import json
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from django.apps import apps
from django.core import serializers
from django.core.exceptions import SuspiciousOperation
from django.core.files.base import File
from django.core.files.storage import default_storage
from django.core.management import call_command
from django.core.management.color import no_style
from django.core.serializers.base import DeserializationError
from django.db import DatabaseError, connection, models, transaction

from portal.operations import backup, stored_files
from portal.operations.backup import FORMAT, Manifest

BATCH_SIZE = 200
# The manifest has a line of at most 300 bytes for each entry.
MANIFEST_BYTES, MANIFEST_BYTES_PER_ENTRY = 1024**2, 1000
MAX_ROW_BYTES = 64 * 1024**2
MAX_BATCH_BYTES = 8 * 1024**2
# What zipfile raises for damaged, encrypted and unknown entries.
UNREADABLE = (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError, zlib.error)
# What Django and the databases raise for rows and paths that no portal has written.
DAMAGED = (DeserializationError, DatabaseError, ValueError, TypeError, OverflowError, SuspiciousOperation)


class RestoreRefused(Exception):
    """The backup was not restored. `str(error)` is a message for the operator."""


def restore(source: Path) -> Manifest:
    """Restores the backup, completely or not at all, and returns its manifest.

    Raises:
        RestoreRefused: the backup is damaged or was made by another version, or the database or storage is not empty.
    """
    try:
        archive = zipfile.ZipFile(source)
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OverflowError):
        raise RestoreRefused(f"{source} is not a backup, or it is incomplete.") from None
    with archive:
        manifest = _verify(archive)
        _refuse_unless_empty()
        call_command("migrate", interactive=False, verbosity=0)
        if backup.applied_migrations() != manifest.migrations:
            raise RestoreRefused(
                f"The backup was made by Callus {manifest.version}, whose tables differ from this version's. "
                "Restore with the same version that made the backup, then upgrade."
            )
        _refuse_if_files_exist(manifest)
        written: list[str] = []
        try:
            _restore_files(archive, manifest, written)
            with transaction.atomic():
                _restore_rows(archive, manifest)
        except DAMAGED as error:
            _remove(written)
            raise RestoreRefused(f"The backup is damaged, and nothing was restored: {error}") from error
        except BaseException:
            _remove(written)
            raise
    return manifest


def _remove(paths: list[str]) -> None:
    for path in paths:
        default_storage.delete(path)


def _verify(archive: zipfile.ZipFile) -> Manifest:
    manifest = _read_manifest(archive)
    for name, expected in manifest.sha256.items():
        _check_entry(archive, name)
        if _sha256(archive, name) != expected:
            raise RestoreRefused(f"The backup is damaged: the checksum of {name} does not match.")
    return manifest


def _read_manifest(archive: zipfile.ZipFile) -> Manifest:
    try:
        limit = MANIFEST_BYTES + MANIFEST_BYTES_PER_ENTRY * len(archive.namelist())
        with archive.open("manifest.json") as entry:
            content = entry.read(limit + 1)
        if len(content) > limit:
            raise RestoreRefused("This file is not a Callus backup: its manifest is too large.")
        facts = json.loads(content)
    except (KeyError, ValueError, RecursionError, *UNREADABLE):
        raise RestoreRefused("This file is not a Callus backup.") from None
    if not isinstance(facts, dict):
        raise RestoreRefused("This file is not a Callus backup.")
    if facts.get("format") != FORMAT:
        raise RestoreRefused(
            f"This backup has format {facts.get('format')}, but this version of Callus reads format {FORMAT}."
        )
    try:
        manifest = Manifest(**facts)
    except TypeError:
        raise RestoreRefused("This file is not a Callus backup: its manifest has other entries.") from None
    if not isinstance(manifest.sha256, dict) or not _is_counts(manifest.rows):
        raise RestoreRefused("This file is not a Callus backup: its manifest has other entries.")
    return manifest


def _is_counts(rows: object) -> bool:
    return isinstance(rows, dict) and all(type(number) is int for number in rows.values())


def _check_entry(archive: zipfile.ZipFile, name: str) -> None:
    """Refuses entries that no backup has, before anything is written."""
    kind, _, rest = name.partition("/")
    compression = archive.getinfo(name).compress_type if name in archive.NameToInfo else None
    tables = {model._meta.label_lower for model in backup.included_models()}
    # Files are never compressed, so that a small backup cannot fill the disk.
    is_file = kind == "files" and _is_inside(rest) and compression == zipfile.ZIP_STORED
    # Tables are not in LZMA, whose header chooses how much memory it takes.
    is_table = kind == "rows" and _label(name) in tables and compression == zipfile.ZIP_DEFLATED
    if is_file or is_table:
        return
    raise RestoreRefused(f"The backup is damaged: {name!r:.200} does not belong in a backup.")


def _is_inside(path: str) -> bool:
    """Whether the path lies in the storage, whatever the storage makes of it."""
    return not {"", ".", ".."} & set(path.split("/")) and "\\" not in path and "\0" not in path


def _label(name: str) -> str:
    return name.removesuffix(".jsonl").partition("-")[2]


def _sha256(archive: zipfile.ZipFile, name: str) -> str:
    digest = hashlib.sha256()
    try:
        with archive.open(name) as entry:
            while chunk := entry.read(backup.CHUNK_BYTES):
                digest.update(chunk)
    except (KeyError, *UNREADABLE):
        return "unreadable"
    return digest.hexdigest()


def _refuse_unless_empty() -> None:
    """Refuses if any table has rows, except those that `migrate` creates."""
    tables = set(connection.introspection.table_names())
    for model in backup.included_models():
        made_by_migrations = model._meta.app_label in ("contenttypes", "auth")
        if not made_by_migrations and model._meta.db_table in tables and model._base_manager.exists():
            raise RestoreRefused(
                f"The database is not empty: it contains {model._meta.verbose_name_plural}. "
                "Restore into an empty database."
            )


def _refuse_if_files_exist(manifest: Manifest) -> None:
    for path in _paths(manifest):
        if default_storage.exists(path):
            raise RestoreRefused(
                f"The storage is not empty: it contains {path}. Restore into an empty storage."
            )


def _paths(manifest: Manifest) -> list[str]:
    return [name.removeprefix("files/") for name in manifest.sha256 if name.startswith("files/")]


def _restore_files(archive: zipfile.ZipFile, manifest: Manifest, written: list[str]) -> None:
    for path in _paths(manifest):
        written.append(path)
        with archive.open(f"files/{path}") as entry:
            saved = default_storage.save(path, File(entry))
        if saved != path:
            written.append(saved)
            raise RestoreRefused(f"The storage saves {path} under another name ({saved}).")


def _restore_rows(archive: zipfile.ZipFile, manifest: Manifest) -> None:
    """Inserts all rows. Foreign keys are checked at the end of the transaction, so the order does not matter."""
    for model in backup.included_models():
        model._base_manager.all()._raw_delete(
            connection.alias
        )  # content types and permissions that `migrate` created
    for name in manifest.sha256:
        if name.startswith("rows/"):
            model = apps.get_model(_label(name))
            for lines in _batches(archive, name):
                _insert_raw(model, _read_rows(lines, name))
    for path in stored_files.referenced_paths():
        if not _is_inside(path):
            raise RestoreRefused(
                f"The backup is damaged: a row refers to {path!r:.200}, outside the storage."
            )
    with connection.cursor() as cursor:
        for statement in connection.ops.sequence_reset_sql(no_style(), backup.included_models()):
            cursor.execute(statement)


def _batches(archive: zipfile.ZipFile, name: str) -> Iterator[list[str]]:
    """Yields the lines of a table in batches of limited memory."""
    lines: list[str] = []
    num_bytes = 0
    with archive.open(name) as entry:
        for line in _lines(entry, name):
            lines.append(line)
            num_bytes += len(line)
            if len(lines) == BATCH_SIZE or num_bytes > MAX_BATCH_BYTES:
                yield lines
                lines, num_bytes = [], 0
    if lines:
        yield lines


def _read_rows(lines: list[str], name: str) -> list[models.Model]:
    rows = [row.object for row in serializers.deserialize("jsonl", lines)]
    if any(row._meta.label_lower != _label(name) for row in rows):
        raise RestoreRefused(f"The backup is damaged: {name} has rows of another table.")
    return rows


def _lines(entry: IO[bytes], name: str) -> Iterator[str]:
    while line := entry.readline(MAX_ROW_BYTES + 1):
        if len(line) > MAX_ROW_BYTES:
            raise RestoreRefused(f"The backup is damaged: a row of {name} is too large.")
        yield line.decode()


def _insert_raw(model: type[models.Model], rows: list[models.Model]) -> None:
    # Not bulk_create(), which would set auto_now_add fields to the current time.
    manager: Any = model._base_manager
    manager._insert(rows, fields=model._meta.concrete_fields, using=connection.alias, raw=True)
