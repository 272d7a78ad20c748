"""A trained model as a folder that never changes once written; no TensorFlow.

model.keras        the Keras model: float32 input (batch, size, size, 3) -> logits
serving.tflite.gz  the same network for LiteRT, with what serving needs as further outputs
distribution.npz   what the in-distribution score compares features with (if it was fitted)
card.json          everything else: classes, input, calibration, origin, figures, licences
checksums.json     SHA-256 of each of the files above
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ml.files import whole_folder

FORMAT_VERSION = 1
SHIPPED = Path(__file__).parent / "shipped"
REQUIRED = ("model.keras", "serving.tflite.gz", "card.json")
CHECKSUMS = "checksums.json"
# The SHA-256 of each image that the weights learned from: evaluation says when a test image is among them.
TRAINING_IMAGES = "training_images.txt"


class BundleError(Exception):
    """A bundle cannot be used; str(error) is one sentence."""


class BundleCorrupt(BundleError):
    """A file is missing, or is not the one that was written."""


class BundleIncompatible(BundleError):
    """The bundle was written in a format that this version does not read."""


@dataclass(frozen=True)
class Bundle:
    """A verified bundle. checksum (hex SHA-256) names the model version: other content, other name."""

    path: Path
    card: dict[str, Any]
    checksum: str

    @property
    def classes(self) -> list[str]:
        return list(self.card["classes"])

    def file(self, name: str) -> Path:
        return self.path / name


def open_bundle(path: Path) -> Bundle:
    """Opens a bundle and verifies all of its files.

    Raises:
        BundleCorrupt: the folder or a file is missing, or a file differs from its checksum.
        BundleIncompatible: it is of another format version.
    """
    checksums = _read_json(path / CHECKSUMS)
    if not isinstance(checksums, dict) or not set(REQUIRED) <= set(checksums):
        raise BundleCorrupt(f"{path} is no bundle: {CHECKSUMS} does not list {', '.join(REQUIRED)}.")
    for name, expected in checksums.items():
        if Path(name).name != name:
            raise BundleCorrupt(f"The bundle {path} lists {name!r}, which is no plain file name.")
        if _sha256(path / name) != expected:
            raise BundleCorrupt(f"{path / name} is not the file that was written: its checksum differs.")
    card = _read_json(path / "card.json")
    version = card.get("format_version") if isinstance(card, dict) else None
    if version != FORMAT_VERSION:
        raise BundleIncompatible(
            f"The bundle {path} has format version {version}; this version reads {FORMAT_VERSION}."
        )
    return Bundle(path, card, _checksum(checksums))


def check_place(path: Path) -> None:
    """Checks that a bundle may be written to path: nothing is there, or an earlier bundle.

    Raises:
        FileExistsError: path holds something else.
    """
    if path.is_dir() and (not any(path.iterdir()) or (path / CHECKSUMS).is_file()):
        return
    if path.exists():
        raise FileExistsError(f"{path} exists and is no bundle; choose another place.")


def write_bundle(path: Path, files: Mapping[str, bytes], card: Mapping[str, Any]) -> Bundle:
    """Writes a bundle aside, then renames it to path; an earlier bundle there is replaced whole.

    Args:
        files: content by name; "model.keras" and "serving.tflite.gz" at least.
        card: what card.json says besides the format version.

    Raises:
        FileExistsError: path holds something that is no bundle.
    """
    check_place(path)
    contents = {**files, "card.json": _json({"format_version": FORMAT_VERSION, **card})}
    checksums = {name: hashlib.sha256(content).hexdigest() for name, content in sorted(contents.items())}
    with whole_folder(path, replace=True) as aside:
        for name, content in (*contents.items(), (CHECKSUMS, _json(checksums))):
            (aside / name).write_bytes(content)
        aside.chmod(0o755)
    return open_bundle(path)


def _checksum(checksums: Mapping[str, str]) -> str:
    lines = "".join(f"{checksums[name]}  {name}\n" for name in sorted(checksums))
    return hashlib.sha256(lines.encode()).hexdigest()


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise BundleCorrupt(f"{path} cannot be read: {error.strerror}.") from error


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise BundleCorrupt(f"{path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise BundleCorrupt(f"{path} is no JSON.") from error


def _json(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False, sort_keys=False) + "\n").encode()
