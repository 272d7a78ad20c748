"""X-rays with a finding: fractured or not, boxes, body parts and metal, as the FracAtlas table lists them."""

from __future__ import annotations

import csv
import hashlib
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path

from ml.data.groups import connected_components
from ml.data.manifests import DatasetRefused

PARTS = ("hand", "leg", "hip", "shoulder")
REQUIRED = ("image", "group", "fractured", "boxes")

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Xray:
    """One X-ray and what is known of it.

    path: the image's file.
    sha256: of that file, hex.
    group: images of one group (one study, exact copies) stay on one side of any split.
    fractured: whether it shows a fracture.
    boxes: (x, y, width, height) of each fracture, in pixels of the upright picture.
    parts: which of PARTS it shows; None where the table has no columns for them.
    hardware: whether it shows metal, such as a plate or screws; None where the table does not say.
    contradicted: an exact copy of it has the other label. Training leaves it out.
    """

    path: Path
    sha256: str
    group: str
    fractured: bool
    boxes: tuple[Box, ...] = ()
    parts: tuple[bool, ...] | None = None
    hardware: bool | None = None
    contradicted: bool = False


def read_xrays(table: Path, images: Path) -> list[Xray]:
    """Reads a table of X-rays, a row an image.

    The columns image (a file name under `images`), group, fractured (0 or 1) and boxes ("x y width height" in
    pixels, several joined by ";") are required; hand, leg, hip, shoulder and hardware (0 or 1) are optional.
    Groups that hold copies of one file are joined.

    Raises:
        DatasetRefused: the table or an image cannot be read, or a row makes no sense.
    """
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            columns = set(reader.fieldnames or ())
            if missing := [name for name in REQUIRED if name not in columns]:
                raise DatasetRefused(f"{table} has no column {missing[0]!r}.")
            xrays = [_xray(row, columns, images, f"{table} line {reader.line_num}") for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetRefused(f"{table} cannot be read: {error}") from error
    if not xrays:
        raise DatasetRefused(f"{table} lists no image.")
    return _join_copies(xrays)


def _xray(row: dict[str, str], columns: set[str], images: Path, where: str) -> Xray:
    path = images / row["image"]
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise DatasetRefused(f"{where}: {path} cannot be read: {error.strerror}.") from error
    fractured = _flag(row, "fractured", where)
    try:
        boxes = [
            tuple(float(value) for value in box.split()) for box in row["boxes"].split(";") if box.strip()
        ]
    except ValueError as error:
        raise DatasetRefused(f"{where}: a box is not four numbers.") from error
    if any(len(box) != 4 or min(box[2:]) <= 0 for box in boxes):
        raise DatasetRefused(f"{where}: a box is not 'x y width height'.")
    if bool(boxes) and not fractured:
        raise DatasetRefused(f"{where}: an image without a fracture has a box.")
    return Xray(
        path=path,
        sha256=digest,
        group=row["group"],
        fractured=fractured,
        boxes=tuple((box[0], box[1], box[2], box[3]) for box in boxes),
        parts=tuple(_flag(row, part, where) for part in PARTS) if set(PARTS) <= columns else None,
        hardware=_flag(row, "hardware", where) if "hardware" in columns else None,
    )


def _flag(row: dict[str, str], column: str, where: str) -> bool:
    if row[column] not in ("0", "1"):
        raise DatasetRefused(f"{where}: {column} is {row[column]!r}, not 0 or 1.")
    return row[column] == "1"


def _join_copies(xrays: list[Xray]) -> list[Xray]:
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
