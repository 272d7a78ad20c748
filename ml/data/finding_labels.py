"""What is known of a fracture in an image, and its columns in tables. Imports nothing of Callus."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

BODY_PARTS = ("hand", "leg", "hip", "shoulder")
COLUMNS = ("fractured", "boxes", *BODY_PARTS, "original_sha256")

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class FindingLabels:
    """Whether an image shows a fracture, and where.

    Attributes:
        fractured: Whether the X-ray shows a fracture.
        boxes: (x, y, width, height) of each fracture, in pixels of the upright image.
        body_parts: Whether each of BODY_PARTS is shown; None if it is unknown.
        original_sha256: SHA-256 of the file from which the image was converted; empty if it is unknown.
    """

    fractured: bool
    boxes: tuple[Box, ...] = ()
    body_parts: tuple[bool, ...] | None = None
    original_sha256: str = ""

    @classmethod
    def parse(cls, row: Mapping[str, str | None]) -> FindingLabels:
        """Reads the columns of a row. All besides fractured may be missing.

        Args:
            row: Values by column.

        Raises:
            ValueError: A value is invalid; the text of the error says which.
        """
        fractured, boxes = _flag(row, "fractured"), _boxes(row.get("boxes") or "")
        if boxes and not fractured:
            raise ValueError("an image without a fracture has a box.")
        # A manifest has the columns for all images, and leaves them empty where the body part is unknown.
        is_known = all(row.get(name) is not None for name in BODY_PARTS) and any(
            row[name] for name in BODY_PARTS
        )
        return cls(
            fractured,
            boxes,
            tuple(_flag(row, name) for name in BODY_PARTS) if is_known else None,
            (row.get("original_sha256") or "").lower(),
        )

    def row(self) -> list[str]:
        """Returns the values of COLUMNS, as parse reads them."""
        boxes = ";".join(" ".join(repr(float(value)) for value in box) for box in self.boxes)
        parts = [str(int(shown)) for shown in self.body_parts] if self.body_parts else [""] * len(BODY_PARTS)
        return [str(int(self.fractured)), boxes, *parts, self.original_sha256]


def parse_flag(value: str | None, column: str) -> bool:
    """Returns the truth value of "0" or "1".

    Raises:
        ValueError: The value is something else.
    """
    if value not in ("0", "1"):
        raise ValueError(f"{column} is {value!r}, not 0 or 1.")
    return value == "1"


def _flag(row: Mapping[str, str | None], column: str) -> bool:
    return parse_flag(row.get(column), column)


def _boxes(text: str) -> tuple[Box, ...]:
    try:
        boxes = [tuple(float(value) for value in box.split()) for box in text.split(";") if box.strip()]
    except ValueError as error:
        raise ValueError("a box is not four numbers.") from error
    if any(len(box) != 4 or not all(map(math.isfinite, box)) or min(box[2:]) <= 0 for box in boxes):
        raise ValueError("a box is not 'x y width height'.")
    return tuple((box[0], box[1], box[2], box[3]) for box in boxes)
