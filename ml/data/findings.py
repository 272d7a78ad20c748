"""Reads tables of X-rays with fracture labels, boxes, body parts and hardware, in the format of FracAtlas."""

from __future__ import annotations

import csv
import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ml.data.finding_labels import BODY_PARTS as BODY_PARTS
from ml.data.finding_labels import Box as Box
from ml.data.finding_labels import FindingLabels, parse_flag
from ml.data.groups import connected_components
from ml.data.manifests import FINDINGS, NO_KIND, ClassFolderFile, DatasetRefused, Item, Manifest

REQUIRED = ("image", "group", "fractured")


@dataclass(frozen=True)
class Xray:
    """An X-ray with its labels.

    Attributes:
        path: Image file.
        sha256: SHA-256 of the file, in hexadecimal.
        group: Group of the image, such as its study. Splits never separate the images of a group.
        fractured: Whether the X-ray shows a fracture.
        boxes: (x, y, width, height) of each fracture, in pixels of the upright image.
        body_parts: Whether each of BODY_PARTS is shown; None if the table has no columns for them.
        hardware: Whether the X-ray shows orthopaedic hardware, such as a plate or screws; None if the table has no
            column for it.
        contradicted: Whether an exact copy has the opposite label. Such X-rays are excluded from training.
        original_sha256: SHA-256 of the file from which the image was converted; empty if the table does not say.
    """

    path: Path
    sha256: str
    group: str
    fractured: bool
    boxes: tuple[Box, ...] = ()
    body_parts: tuple[bool, ...] | None = None
    hardware: bool | None = None
    contradicted: bool = False
    original_sha256: str = ""


def read_xrays(table: Path, images: Path, *, needs_boxes: bool = True) -> list[Xray]:
    """Reads a CSV table with one X-ray per row.

    Required columns: image (file name in `images`), group, fractured (0 or 1) and boxes ("x y width height" in
    pixels, separated by ";"). Optional columns: hand, leg, hip, shoulder and hardware (0 or 1), and original_sha256.
    Groups that contain copies of the same file are merged.

    Args:
        table: The CSV file.
        images: Folder of the images.
        needs_boxes: Whether the column boxes is required.

    Raises:
        DatasetRefused: The table or an image cannot be read, or a row is invalid.
    """
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, restval="")
            columns = set(reader.fieldnames or ())
            required = (*REQUIRED, "boxes") if needs_boxes else REQUIRED
            if missing := [name for name in required if name not in columns]:
                raise DatasetRefused(f"{table} has no column {missing[0]!r}.")
            xrays = [_xray(row, columns, images, f"{table} line {reader.line_num}") for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetRefused(f"{table} cannot be read: {error}") from error
    if not xrays:
        raise DatasetRefused(f"{table} lists no image.")
    return _merge_groups_with_copies(xrays)


def list_digests(xrays: Iterable[Xray]) -> bytes:
    """Returns the content of a bundle's list of images: SHA-256 of each file and of its original, one per line."""
    digests = {digest for xray in xrays for digest in (xray.sha256, xray.original_sha256) if digest}
    return "".join(f"{digest}\n" for digest in sorted(digests)).encode()


def read_findings(root: Path, files: Sequence[ClassFolderFile]) -> dict[str, tuple[str, FindingLabels]]:
    """Reads the table FINDINGS in the folder of a data set, if there is one.

    Required columns: image (path in the folder, with "/" as separator), group and fractured (0 or 1). Optional columns:
    boxes, hand, leg, hip, shoulder and original_sha256, as in read_xrays.

    Args:
        root: Folder of the data set.
        files: Image files of the data set.

    Returns:
        Group and labels of each listed image, by path.

    Raises:
        DatasetRefused: The table cannot be read, a row is invalid or names no image, or an image without a kind of
            fracture is not listed.
    """
    found: dict[str, tuple[str, FindingLabels]] = {}
    known = {file.path for file in files}
    for row, line in _rows(root / FINDINGS) if (root / FINDINGS).exists() else ():
        where = f"{FINDINGS} line {line}"
        # The portal converts a DICOM file to a PNG file with a longer name.
        path = next((path for path in (row["image"], f"{row['image']}.png") if path in known), None)
        if path is None:
            raise DatasetRefused(
                f"{where}: {row['image']!a} is not an image in a class folder or in {NO_KIND}."
            )
        if path in found:
            raise DatasetRefused(f"{where}: {row['image']!a} is listed twice.")
        if not row["group"]:
            raise DatasetRefused(f"{where} has no group.")
        try:
            found[path] = row["group"], FindingLabels.parse(row)
        except ValueError as error:
            raise DatasetRefused(f"{where}: {error}") from error
    unknown = sorted(file.path for file in files if file.label == NO_KIND and file.path not in found)
    if unknown:
        raise DatasetRefused(
            f"{unknown[0]!a} has no kind of fracture, so {FINDINGS} must say whether it is fractured."
        )
    return found


def _rows(table: Path) -> list[tuple[dict[str, str], int]]:
    """Returns the rows of a table, each with its line."""
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, restval="")
            if missing := [name for name in REQUIRED if name not in (reader.fieldnames or ())]:
                raise DatasetRefused(f"{table.name} has no column {missing[0]!r}.")
            return [(row, reader.line_num) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetRefused(f"{table.name} cannot be read: {error}") from error


def xrays_of(manifest: Manifest, items: Sequence[Item]) -> list[Xray]:
    """Returns the X-rays among items of a manifest whose finding is known."""
    return [
        Xray(
            path=manifest.file(item),
            sha256=item.sha256,
            group=item.group,
            fractured=item.finding.fractured,
            boxes=item.finding.boxes,
            body_parts=item.finding.body_parts,
            original_sha256=item.finding.original_sha256,
        )
        for item in items
        if item.finding is not None
    ]


def _xray(row: dict[str, str], columns: set[str], images: Path, where: str) -> Xray:
    path = images / row["image"]
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except ValueError as error:
        raise DatasetRefused(f"{where}: {row['image']!a} is not a file name.") from error
    except OSError as error:
        raise DatasetRefused(f"{where}: {path} cannot be read: {error.strerror}.") from error
    try:
        labels = FindingLabels.parse(row)
        hardware = parse_flag(row["hardware"], "hardware") if "hardware" in columns else None
    except ValueError as error:
        raise DatasetRefused(f"{where}: {error}") from error
    return Xray(
        path=path,
        sha256=digest,
        group=row["group"],
        fractured=labels.fractured,
        boxes=labels.boxes,
        body_parts=labels.body_parts,
        hardware=hardware,
        original_sha256=labels.original_sha256,
    )


def _merge_groups_with_copies(xrays: list[Xray]) -> list[Xray]:
    first_of_group: dict[str, int] = {}
    first_of_file: dict[str, int] = {}
    links = []
    labels: dict[str, set[bool]] = defaultdict(set)
    for number, xray in enumerate(xrays):
        links.append((number, first_of_group.setdefault(xray.group, number)))
        links.append((number, first_of_file.setdefault(xray.sha256, number)))
        labels[xray.sha256].add(xray.fractured)
    group_of = {
        number: xrays[members[0]].group
        for members in connected_components(len(xrays), links)
        for number in members
    }
    return [
        replace(xray, group=group_of[number], contradicted=len(labels[xray.sha256]) > 1)
        for number, xray in enumerate(xrays)
    ]
