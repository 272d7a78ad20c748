"""What becomes of files of each kind: the picture that must be shown, or the sentence of the refusal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from tests.intake_pictures import Levels

Format = Literal["JPEG", "PNG", "DICOM"]


@dataclass(frozen=True)
class Case:
    """A kind of file.

    Attributes:
        format: Format of the file.
        kind: What is special about it, as docs/file-intake.md says it.
        make: Returns a file.
        expected: The picture, or the sentence of the refusal.
        tolerance: Mean absolute difference from the picture, in grey levels.
    """

    format: Format
    kind: str
    make: Callable[[], bytes]
    expected: Levels | str
    tolerance: float = 0.6
