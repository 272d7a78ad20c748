"""Bundles: trained models as folders that never change once written.

model.keras          The Keras model: float32 (batch, size, size, 3) -> logits.
serving.tflite.gz    The LiteRT serving graph (ml.serve.export).
distribution.npz     Parameters of the out-of-distribution score; optional.
training_images.txt  SHA-256 of each image that the weights were trained on, one per line; optional.
calibration_images.txt  SHA-256 of each image that the finding was calibrated on, one per line; optional.
card.json            Classes, preprocessing, calibration, metrics, origin and licences.
finding/             The bundle of the finding; optional. The other files are the model of the kind of fracture.
checksums.json       SHA-256 of each of the other files, and of finding/checksums.json.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ml.files import whole_folder

FORMAT_VERSION = 1
SHIPPED = Path(__file__).parent / "shipped"
REQUIRED_FILES = ("model.keras", "serving.tflite.gz", "card.json")
CHECKSUMS = "checksums.json"
FINDING = "finding"
FINDING_CHECKSUMS = f"{FINDING}/{CHECKSUMS}"
# Evaluation uses this file to report test images that the model was trained on.
TRAINING_IMAGES = "training_images.txt"
CALIBRATION_IMAGES = "calibration_images.txt"


class BundleError(Exception):
    """A bundle cannot be used; str(error) is one sentence for the user."""


class BundleCorrupt(BundleError):
    """A file is missing, or differs from its checksum."""


class BundleIncompatible(BundleError):
    """The format version of the bundle is not supported."""


@dataclass(frozen=True)
class Bundle:
    """A verified bundle.

    Attributes:
        path: The folder.
        card: Content of card.json.
        checksum: SHA-256 (hexadecimal) of the whole content, which identifies the model version.
        finding: The bundle of the finding within this one; None if the model answers the kind of fracture only.
    """

    path: Path
    card: dict[str, Any]
    checksum: str
    finding: Bundle | None = None

    @property
    def classes(self) -> list[str]:
        """Names of the classes, in the order of the logits.

        Raises:
            BundleIncompatible: The bundle does not answer the kind of fracture.
        """
        if "classes" not in self.card:
            raise BundleIncompatible(f"{self.path} does not answer the kind of fracture.")
        return list(self.card["classes"])

    @property
    def full_card(self) -> dict[str, Any]:
        """The card, with the card of the finding under "finding" if there is one."""
        return self.card if self.finding is None else {**self.card, FINDING: self.finding.card}

    def file(self, name: str) -> Path:
        """Returns the path of a file of the bundle."""
        return self.path / name

    def digests(self, name: str) -> frozenset[str]:
        """Returns the SHA-256 digests that a file of the bundle lists; empty if the bundle has no such file."""
        path = self.file(name)
        try:
            return frozenset(path.read_text(encoding="ascii").split()) if path.exists() else frozenset()
        except (OSError, UnicodeDecodeError) as error:
            raise BundleCorrupt(f"{path} cannot be read.") from error

    def files(self) -> dict[str, bytes]:
        """Returns the content of each file besides the card and the bundle of the finding, by name."""
        names = set(_read_json(self.path / CHECKSUMS)) - {FINDING_CHECKSUMS, "card.json"}
        return {name: self.file(name).read_bytes() for name in sorted(names)}


def open_bundle(path: Path) -> Bundle:
    """Opens a bundle and verifies the checksums of its files.

    Raises:
        BundleCorrupt: The folder or a file is missing, or a file differs from its checksum.
        BundleIncompatible: The format version is not supported.
    """
    checksums = _read_json(path / CHECKSUMS)
    if not isinstance(checksums, dict) or not set(REQUIRED_FILES) <= set(checksums):
        raise BundleCorrupt(f"{path} is not a bundle: {CHECKSUMS} does not list {', '.join(REQUIRED_FILES)}.")
    for name, expected in checksums.items():
        if Path(name).name != name and name != FINDING_CHECKSUMS:
            raise BundleCorrupt(f"The bundle {path} lists {name!r}, which is not a plain file name.")
        if _sha256(path / name) != expected:
            raise BundleCorrupt(f"{path / name} has changed since it was written: its checksum differs.")
    card = _read_json(path / "card.json")
    version = card.get("format_version") if isinstance(card, dict) else None
    if version != FORMAT_VERSION:
        raise BundleIncompatible(
            f"The bundle {path} has format version {version}; only version {FORMAT_VERSION} is supported."
        )
    finding = open_bundle(path / FINDING) if FINDING_CHECKSUMS in checksums else None
    return Bundle(path, card, _checksum(checksums), finding)


def check_destination(path: Path) -> None:
    """Checks that a bundle may be written to a path: it does not exist, is an empty folder, or is a bundle.

    Raises:
        FileExistsError: The path exists and is something else, or lies in a bundle, which never changes.
    """
    for parent in path.resolve().parents:
        if (parent / CHECKSUMS).is_file():
            raise FileExistsError(f"{path} lies in the bundle {parent}. Choose another path.")
    if path.is_dir() and (not any(path.iterdir()) or (path / CHECKSUMS).is_file()):
        return
    if path.exists():
        raise FileExistsError(f"{path} exists and is not a bundle. Choose another path.")


def write_bundle(
    path: Path, files: Mapping[str, bytes], card: Mapping[str, Any], finding: Bundle | None = None
) -> Bundle:
    """Writes a bundle to a temporary folder and renames it; an existing bundle is replaced.

    Args:
        path: Folder of the bundle.
        files: Content by file name; at least "model.keras" and "serving.tflite.gz".
        card: Content of card.json without the format version.
        finding: The bundle of the finding, which is copied into the new bundle.

    Returns:
        The verified bundle.

    Raises:
        FileExistsError: The path exists and is not a bundle.
    """
    check_destination(path)
    contents = {**files, "card.json": _json({"format_version": FORMAT_VERSION, **card})}
    checksums = {name: hashlib.sha256(content).hexdigest() for name, content in sorted(contents.items())}
    with whole_folder(path, replace=True) as temporary:
        if finding is not None:
            shutil.copytree(finding.path, temporary / FINDING)
            checksums[FINDING_CHECKSUMS] = _sha256(temporary / FINDING_CHECKSUMS)
        for name, content in (*contents.items(), (CHECKSUMS, _json(checksums))):
            (temporary / name).write_bytes(content)
        temporary.chmod(0o755)
    return open_bundle(path)


def combine_bundles(kind: Bundle, finding: Bundle, path: Path) -> Bundle:
    """Writes a bundle that answers the kind of fracture and the finding.

    Args:
        kind: A bundle of the kind of fracture. Its own finding, if it has one, is not copied.
        finding: A bundle of the finding.
        path: Folder of the new bundle, which may be that of `kind`.

    Raises:
        FileExistsError: The path exists and is not a bundle.
    """
    return write_bundle(path, kind.files(), kind.card, finding)


def differ_by_calibration_only(one: Bundle, other: Bundle) -> bool:
    """Returns whether two bundles have the same networks and differ at most in the calibration of the finding."""
    if one.finding is None or other.finding is None:
        return False
    ours, theirs = (_read_json(bundle.path / CHECKSUMS) for bundle in (one, other))
    return all(
        first.get(name) == second.get(name)
        for first, second, excepted in (
            (ours, theirs, {FINDING_CHECKSUMS}),
            (
                *(_read_json(bundle.path / CHECKSUMS) for bundle in (one.finding, other.finding)),
                {"card.json", CALIBRATION_IMAGES},
            ),
        )
        for name in {*first, *second} - excepted
    )


def have_same_kind(one: Bundle, other: Bundle) -> bool:
    """Returns whether two bundles answer the kind of fracture with the same files; their findings may differ."""
    ours, theirs = (_read_json(bundle.path / CHECKSUMS) for bundle in (one, other))
    return all(ours.get(name) == theirs.get(name) for name in {*ours, *theirs} - {FINDING_CHECKSUMS})


def _checksum(checksums: Mapping[str, str]) -> str:
    lines = "".join(f"{checksums[name]}  {name}\n" for name in sorted(checksums))
    return hashlib.sha256(lines.encode()).hexdigest()


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except ValueError as error:
        raise BundleCorrupt(f"{str(path)!a} is not a file name.") from error
    except OSError as error:
        raise BundleCorrupt(f"{path} cannot be read: {error.strerror}.") from error


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise BundleCorrupt(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise BundleCorrupt(f"{path} is not valid JSON.") from error


def _json(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False, sort_keys=False) + "\n").encode()
