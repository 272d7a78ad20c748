"""An archive that is not a backup is refused with a sentence, before anything is written and in little memory."""

import json
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

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
