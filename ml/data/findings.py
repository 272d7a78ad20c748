"""Reads tables of X-rays with fracture labels, boxes, body parts and hardware, in the format of FracAtlas."""

from __future__ import annotations

import csv
import hashlib
import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from ml.data.groups import connected_components
from ml.data.manifests import DatasetRefused

BODY_PARTS = ("hand", "leg", "hip", "shoulder")
REQUIRED = ("image", "group", "fractured")

Box = tuple[float, float, float, float]


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


def _xray(row: dict[str, str], columns: set[str], images: Path, where: str) -> Xray:
    path = images / row["image"]
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except ValueError as error:
        raise DatasetRefused(f"{where}: {row['image']!a} is not a file name.") from error
    except OSError as error:
        raise DatasetRefused(f"{where}: {path} cannot be read: {error.strerror}.") from error
    fractured = _flag(row, "fractured", where)
    try:
        boxes = [
            tuple(float(value) for value in box.split())
            for box in row.get("boxes", "").split(";")
            if box.strip()
        ]
    except ValueError as error:
        raise DatasetRefused(f"{where}: a box is not four numbers.") from error
    if any(len(box) != 4 or not all(map(math.isfinite, box)) or min(box[2:]) <= 0 for box in boxes):
        raise DatasetRefused(f"{where}: a box is not 'x y width height'.")
    if bool(boxes) and not fractured:
        raise DatasetRefused(f"{where}: an image without a fracture has a box.")
    return Xray(
        path=path,
        sha256=digest,
        group=row["group"],
        fractured=fractured,
        boxes=tuple((box[0], box[1], box[2], box[3]) for box in boxes),
        body_parts=tuple(_flag(row, name, where) for name in BODY_PARTS)
        if set(BODY_PARTS) <= columns
        else None,
        hardware=_flag(row, "hardware", where) if "hardware" in columns else None,
        original_sha256=row.get("original_sha256", "").lower(),
    )


def _flag(row: dict[str, str], column: str, where: str) -> bool:
    if row[column] not in ("0", "1"):
        raise DatasetRefused(f"{where}: {column} is {row[column]!r}, not 0 or 1.")
    return row[column] == "1"


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
