"""Recognises DICOM files and the encoding of data sets by their first bytes, without a DICOM library."""

from __future__ import annotations

import struct
from dataclasses import dataclass

# The prefix follows the preamble (PS3.10 7.1).
PREFIX, PREFIX_START, PREFIX_END = b"DICM", 128, 132
META_GROUP = 0x0002
# PS3.5 table 6.2-1.
VALUE_REPRESENTATIONS = frozenset(
    b"AE AS AT CS DA DS DT FD FL IS LO LT OB OD OF OL OV OW PN SH SL SQ SS ST SV TM UC UI UL UN UR US UT UV".split()
)
# A data set begins with its group length, character set, image type or SOP class; their values are short.
FIRST_GROUPS, MAX_FIRST_ELEMENT, MAX_FIRST_LENGTH = (META_GROUP, 0x0008), 0x0070, 1024


@dataclass(frozen=True)
class Encoding:
    """Encoding of a data set (PS3.5 annex A)."""

    is_implicit: bool
    is_little_endian: bool = True


def is_dicom(head: bytes) -> bool:
    """Returns whether a file is a DICOM file (PS3.10 7.1), or one that lacks its preamble.

    Args:
        head: The first 132 bytes of the file, or more.
    """
    return (
        head[PREFIX_START:PREFIX_END] == PREFIX or head.startswith(PREFIX) or guess_encoding(head) is not None
    )


def guess_encoding(head: bytes) -> Encoding | None:
    """Returns the encoding of a data set, or of file meta information, as its first element shows it.

    Args:
        head: The first 8 bytes of the data set, or more.
    """
    if len(head) < 8:
        return None
    for order in "<>":
        group, element, vr = struct.unpack_from(f"{order}2H2s", head)
        (length,) = struct.unpack_from(f"{order}I", head, 4)
        if group not in FIRST_GROUPS or element > MAX_FIRST_ELEMENT:
            continue
        if vr in VALUE_REPRESENTATIONS:
            return Encoding(is_implicit=False, is_little_endian=order == "<")
        if order == "<" and length <= MAX_FIRST_LENGTH:
            return Encoding(is_implicit=True)
    return None
