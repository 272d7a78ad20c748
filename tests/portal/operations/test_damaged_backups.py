"""An archive that is not a backup is refused with a sentence, before anything is written and in little memory."""

import hashlib
import json
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from classifier.core.models import AuditEntry, Site
from classifier.radiographs.models import Radiograph
from portal.operations import backup

pytestmark = pytest.mark.django_db
FACTS: dict[str, Any] = {
    "version": "1",
    "made_at": "now",
    "migrations": [],
    "format": 1,
    "rows": {},
    "sha256": {},
}


def archive(path: Path, manifest: Any, **entries: bytes) -> Path:
    """A zip with this manifest. Entries of 'files__x' are called 'files/x'."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("manifest.json", manifest if isinstance(manifest, str) else json.dumps(manifest))
        for name, content in entries.items():
            file.writestr(name.replace("__", "/"), content)
    return path


@pytest.mark.parametrize(
    "manifest",
    [
        "[]",
        "null",
        "{",
        "[" * 100_000,
        {**FACTS, "extra": 1},
        {"format": 1},
        {**FACTS, "format": 2},
        {**FACTS, "sha256": ["files/x"]},
        {**FACTS, "sha256": {"files/missing.png": "0"}},
        {**FACTS, "sha256": {"files/../../etc/passwd": "0"}},
        {**FACTS, "sha256": {"files//etc/passwd": "0"}},
        {**FACTS, "sha256": {"rows/000-sessions.session.jsonl": "0"}},
        {**FACTS, "sha256": {"rows/000-no.such.jsonl": "0"}},
        {**FACTS, "sha256": {"rows/000-core.user.jsonl": "0"}},
        {**FACTS, "sha256": {"elsewhere": "0"}},
        {**FACTS, "rows": {"core.user": "many"}},
    ],
    ids=lambda manifest: str(manifest)[:20],
)
def test_it_is_refused_with_a_sentence(tmp_path: Path, manifest: Any) -> None:
    with pytest.raises(CommandError, match="backup"):
        call_command("restore", archive(tmp_path / "backup.zip", manifest))


def test_a_file_that_grows_when_it_is_unpacked_is_refused(tmp_path: Path) -> None:
    facts = {**FACTS, "sha256": {"files/bomb.png": "0"}}
    with pytest.raises(CommandError, match="does not belong in a backup"):
        call_command("restore", archive(tmp_path / "backup.zip", facts, files__bomb=b"x" * 10**7))


def test_a_manifest_that_grows_when_it_is_unpacked_takes_little_memory(tmp_path: Path) -> None:
    bomb = archive(tmp_path / "backup.zip", " " * 50_000_000)
    tracemalloc.start()
    try:
        with pytest.raises(CommandError, match="manifest is too large"):
            call_command("restore", bomb)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


SITES, RADIOGRAPHS = "rows/0-core.site.jsonl", "rows/0-radiographs.radiograph.jsonl"


def backup_of(path: Path, name: str, *rows: dict[str, Any], compression: int = zipfile.ZIP_DEFLATED) -> Path:
    """A backup of this version with one picture and these rows, whose checksums are right."""
    entries = {
        "files/radiographs/a.png": b"picture",
        name: b"".join(json.dumps(row).encode() + b"\n" for row in rows),
    }
    with zipfile.ZipFile(path, "w") as file:
        for entry, content in entries.items():
            file.writestr(entry, content, zipfile.ZIP_STORED if entry.startswith("files/") else compression)
        checksums = {entry: hashlib.sha256(content).hexdigest() for entry, content in entries.items()}
        facts = {**FACTS, "migrations": backup.applied_migrations(), "sha256": checksums}
        file.writestr("manifest.json", json.dumps(facts))
    return path


def site(number: int = 1, **fields: Any) -> dict[str, Any]:
    return {"model": "core.site", "pk": number, "fields": {"name": f"Ward {number}", **fields}}


def radiograph(image: str) -> dict[str, Any]:
    fields = {
        "owner": 1,
        "_file_name": "a",
        "sha256": "0",
        "width": 1,
        "height": 1,
        "image": image,
        "thumbnail": "t",
    }
    fields["created_at"] = "2026-01-01T00:00:00Z"
    return {"model": "radiographs.radiograph", "pk": "0f1c2a52-63a3-4d0e-9c4e-0f6ab2f2a7f5", "fields": fields}


@pytest.mark.parametrize(
    ("name", "row"),
    [
        (SITES, {"model": "core.auditentry", "pk": 1, "fields": {}}),
        (SITES, site(10**30)),
        (SITES, site(allows_training={"a": 1})),
        (RADIOGRAPHS, radiograph("../../secret_key")),
        (RADIOGRAPHS, radiograph("/etc/passwd")),
        (RADIOGRAPHS, radiograph("radiographs/./a.png")),
    ],
)
def test_rows_that_no_portal_writes_are_refused_and_nothing_is_kept(
    tmp_path: Path, files: Path, name: str, row: dict[str, Any]
) -> None:
    with pytest.raises(CommandError, match="The backup is damaged"):
        call_command("restore", backup_of(tmp_path / "backup.zip", name, row))
    assert not any(path.is_file() for path in files.rglob("*"))
    assert not Site.objects.exists()
    assert not Radiograph.objects.exists()


def test_a_table_in_a_compression_that_takes_as_much_memory_as_it_likes_is_refused(tmp_path: Path) -> None:
    packed = backup_of(tmp_path / "backup.zip", SITES, site(), compression=zipfile.ZIP_LZMA)
    with pytest.raises(CommandError, match="does not belong in a backup"):
        call_command("restore", packed)


def test_many_large_rows_take_the_memory_of_a_few(tmp_path: Path, files: Path) -> None:
    rows = [
        {
            "model": "core.auditentry",
            "pk": number,
            "fields": {"created_at": "2026-01-01T00:00:00Z", "detail": {"text": " " * 1_000_000}},
        }
        for number in range(1, 41)
    ]
    large = backup_of(tmp_path / "backup.zip", "rows/0-core.auditentry.jsonl", *rows)
    del rows
    tracemalloc.start()
    try:
        call_command("restore", large)
        assert tracemalloc.get_traced_memory()[1] < 40_000_000
    finally:
        tracemalloc.stop()
    assert AuditEntry.objects.count() == 40


def test_a_zip_whose_directory_is_damaged_is_refused(tmp_path: Path) -> None:
    intact = archive(tmp_path / "backup.zip", FACTS).read_bytes()
    # The name in the directory claims to be UTF-8, and is not.
    start = intact.index(b"PK\1\2")
    flagged = bytearray(intact)
    flagged[start + 9] |= 8
    flagged[start + 46] = 0xFF
    (tmp_path / "damaged.zip").write_bytes(flagged)
    with pytest.raises(CommandError, match="is not a backup"):
        call_command("restore", tmp_path / "damaged.zip")
