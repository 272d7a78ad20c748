"""Reads attribute values of DICOM data sets that real devices write, valid or not."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import Any

from pydicom import Dataset
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

# Formats of binary value representations (PS3.5 6.2) that some devices use for attributes that are texts.
BINARY_NUMBERS = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "FL": "f", "FD": "d"}


class Attributes:
    """The attributes of a data set. One that is empty or cannot be understood is read as absent.

    Args:
        dataset: A data set whose elements have not been converted.
        is_little_endian: Byte order of its values.
    """

    def __init__(self, dataset: Dataset, is_little_endian: bool = True) -> None:
        self._dataset = dataset
        self._order = "little" if is_little_endian else "big"

    def __contains__(self, keyword: str) -> bool:
        return bool(Tag(keyword) in self._dataset)

    def raw(self, keyword: str) -> bytes:
        """Returns the value as it is stored; empty if absent."""
        element = self._dataset.get_item(Tag(keyword))
        value = element.value if isinstance(element, RawDataElement) else None
        return value if isinstance(value, bytes) else b""

    def code(self, keyword: str) -> str:
        """Returns the first value of a code string in capitals, without spaces around it; empty if absent."""
        return self.texts(keyword)[0].upper()

    def texts(self, keyword: str) -> list[str]:
        """Returns the values without spaces and zero bytes around them; at least one, which may be empty."""
        return [value.strip(" \0\t\r\n") for value in self.raw(keyword).decode("latin-1").split("\\")]

    def integers(self, keyword: str, *, is_signed: bool = False) -> list[int]:
        """Returns the values of an attribute that is a binary number of 16 bits, or a text."""
        raw = self.raw(keyword)
        if self._vr(keyword) in ("IS", "DS"):
            return [int(number) for number in self.decimals(keyword)]
        size = 4 if self._vr(keyword) in ("UL", "SL") else 2
        return [
            int.from_bytes(raw[start : start + size], self._order, signed=is_signed)  # type: ignore[arg-type]
            for start in range(0, len(raw) - size + 1, size)
        ]

    def integer(self, keyword: str, default: int = 0, *, is_signed: bool = False) -> int:
        """Returns the first of the integers, or the default."""
        return next(iter(self.integers(keyword, is_signed=is_signed)), default)

    def decimals(self, keyword: str) -> list[float]:
        """Returns the finite numbers of a decimal or integer string; some devices write a decimal comma."""
        binary = BINARY_NUMBERS.get(self._vr(keyword))
        if binary:
            order, raw = "<" if self._order == "little" else ">", self.raw(keyword)
            count = len(raw) // struct.calcsize(binary)
            numbers: Sequence[float] = struct.unpack_from(f"{order}{count}{binary}", raw)
        else:
            numbers = [_to_float(text) for text in self.texts(keyword)]
        return [float(number) for number in numbers if math.isfinite(number)]

    def decimal(self, keyword: str, default: float) -> float:
        """Returns the first of the decimals, or the default."""
        return next(iter(self.decimals(keyword)), default)

    def items(self, keyword: str) -> list[Attributes]:
        """Returns the items of a sequence."""
        if keyword not in self:
            return []
        try:
            items = list(self._dataset[keyword].value or [])
        # The library raises almost any exception for an invalid sequence.
        except Exception:
            return []
        return [Attributes(item, self._order == "little") for item in items if isinstance(item, Dataset)]

    def words(self, keyword: str) -> bytes:
        """Returns the value with 16-bit words in little-endian order."""
        raw = self.raw(keyword)
        return raw if self._order == "little" else swap_words(raw)

    def _vr(self, keyword: str) -> str:
        element: Any = self._dataset.get_item(Tag(keyword))
        return str(getattr(element, "VR", None) or "")


def swap_words(values: bytes) -> bytes:
    """Swaps the bytes of each 16-bit word."""
    swapped = bytearray(values + bytes(len(values) % 2))
    swapped[::2], swapped[1::2] = swapped[1::2], swapped[::2]
    return bytes(swapped)


def _to_float(text: str) -> float:
    try:
        return float(text.replace(",", "."))
    except ValueError:
        return math.nan
