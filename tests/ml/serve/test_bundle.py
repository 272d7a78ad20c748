"""Bundles are verified when they are opened, and written completely or not at all."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from ml.serve.bundle import (
    Bundle,
    BundleCorrupt,
    BundleIncompatible,
    combine_bundles,
    open_bundle,
    write_bundle,
)

FILES = {"model.keras": b"a model", "serving.tflite.gz": b"a graph"}


def write(path: Path, card: dict[str, Any] | None = None) -> Bundle:
    return write_bundle(path, FILES, card or {"classes": ["A", "B"]})


def test_a_written_bundle_can_be_opened(tmp_path: Path) -> None:
    written = write_bundle(tmp_path / "bundle", FILES, {"classes": ["A", "B"]})
    opened = open_bundle(tmp_path / "bundle")
    assert opened.classes == ["A", "B"]
    assert opened.file("serving.tflite.gz").read_bytes() == b"a graph"
    assert opened.checksum == written.checksum
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_the_checksum_identifies_the_content(tmp_path: Path) -> None:
    first = write_bundle(tmp_path / "first", FILES, {"classes": ["A", "B"]})
    same = write_bundle(tmp_path / "same", FILES, {"classes": ["A", "B"]})
    other = write_bundle(tmp_path / "other", FILES, {"classes": ["A", "C"]})
    assert first.checksum == same.checksum
    assert first.checksum != other.checksum


@pytest.mark.parametrize("name", ["model.keras", "serving.tflite.gz", "card.json"])
def test_a_changed_file_is_refused(tmp_path: Path, name: str) -> None:
    path = write_bundle(tmp_path / "bundle", FILES, {"classes": ["A"]}).path
    content = bytearray((path / name).read_bytes())
    content[3] ^= 1
    (path / name).write_bytes(content)
    with pytest.raises(BundleCorrupt, match=f"{name} has changed since it was written"):
        open_bundle(path)


@pytest.mark.parametrize("name", ["model.keras", "card.json", "checksums.json"])
def test_a_missing_file_is_refused(tmp_path: Path, name: str) -> None:
    path = write_bundle(tmp_path / "bundle", FILES, {"classes": ["A"]}).path
    (path / name).unlink()
    with pytest.raises(BundleCorrupt, match=f"{name} cannot be read"):
        open_bundle(path)


def test_other_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleCorrupt, match="cannot be read"):
        open_bundle(tmp_path)
    (tmp_path / "checksums.json").write_text(json.dumps({"../card.json": "0"}))
    with pytest.raises(BundleCorrupt, match="is not a bundle"):
        open_bundle(tmp_path)


def test_a_path_outside_the_bundle_is_refused(tmp_path: Path) -> None:
    path = write_bundle(tmp_path / "bundle", FILES, {"classes": ["A"]}).path
    checksums = json.loads((path / "checksums.json").read_text())
    (path / "checksums.json").write_text(json.dumps({**checksums, "../secret": "0"}))
    with pytest.raises(BundleCorrupt, match="not a plain file name"):
        open_bundle(path)


def test_another_format_version_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ml.serve.bundle.FORMAT_VERSION", 99)
    path = tmp_path / "bundle"
    write_bundle(path, FILES, {"classes": ["A"]})
    monkeypatch.undo()
    with pytest.raises(BundleIncompatible, match="format version 99"):
        open_bundle(path)


def test_a_bundle_replaces_a_bundle_but_no_other_folder(tmp_path: Path) -> None:
    write_bundle(tmp_path / "bundle", FILES, {"classes": ["A"]})
    assert write_bundle(tmp_path / "bundle", FILES, {"classes": ["B"]}).classes == ["B"]
    (tmp_path / "photographs").mkdir()
    (tmp_path / "photographs" / "holiday.jpg").write_bytes(b"sun")
    with pytest.raises(FileExistsError, match="is not a bundle"):
        write_bundle(tmp_path / "photographs", FILES, {"classes": ["B"]})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", "photographs"]


def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_bundle(tmp_path / "bundle", FILES, {"classes": ["A"]})
    real = Path.write_bytes

    def full_disk(path: Path, data: bytes) -> int:
        if path.name == "serving.tflite.gz":
            raise OSError(28, "No space left on device")
        return real(path, data)

    monkeypatch.setattr(Path, "write_bytes", full_disk)
    with pytest.raises(OSError, match="No space left"):
        write_bundle(tmp_path / "bundle", FILES, {"classes": ["B"]})
    assert open_bundle(tmp_path / "bundle").classes == ["A"]
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_a_bundle_within_a_bundle_is_verified_and_part_of_the_checksum(tmp_path: Path) -> None:
    kind, finding = write(tmp_path / "kind"), write(tmp_path / "finding", {"answers": "finding"})
    both = combine_bundles(kind, finding, tmp_path / "both")
    assert both.finding is not None
    assert both.finding.checksum == finding.checksum
    assert both.full_card["finding"]["answers"] == "finding"
    assert both.checksum not in (kind.checksum, finding.checksum)
    assert combine_bundles(both, finding, tmp_path / "again").checksum == both.checksum
    damaged = both.path / "finding" / "card.json"
    damaged.write_text(damaged.read_text().replace("finding", "nothing"))
    with pytest.raises(BundleCorrupt, match="its checksum differs"):
        open_bundle(both.path)


def test_the_finding_of_a_bundle_cannot_be_replaced_unnoticed(tmp_path: Path) -> None:
    kind, finding = write(tmp_path / "kind"), write(tmp_path / "finding", {"answers": "finding"})
    both = combine_bundles(kind, finding, tmp_path / "both")
    other = write(tmp_path / "other", {"answers": "finding", "seed": 1})
    shutil.rmtree(both.path / "finding")
    shutil.copytree(other.path, both.path / "finding")
    with pytest.raises(BundleCorrupt, match="its checksum differs"):
        open_bundle(both.path)
