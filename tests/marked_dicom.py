"""DICOM files in which every attribute that pixels do not need holds a mark of its own: ZQ, its tag, MARK."""

import hashlib
import io
import re
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
from pydicom import Dataset, dcmread
from pydicom.datadict import DicomDictionary, RepeatersDictionary
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.tag import Tag

from ml.data.dicom import TAGS
from tests.ml.compressed import compress
from tests.ml.data.test_dicom import dicom, lookup_table
from tests.ml.drawings import draw_bone

MARK = re.compile(rb"Z\0?Q\0?(?:[0-9A-F]\0?){8}M\0?A\0?R\0?K", re.I)
LONG_LENGTHS = ("OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV")
# What pixels need, and what is no attribute of an image: commands, the file's own head (see _meta), directories,
# pixels, delimiters.
NEEDED = {int(Tag(name)) for name in TAGS}
NO_ATTRIBUTES = (0x0000, 0x0002, 0x0004, 0x7FE0, 0xFFFE)
PRIVATE = (0x00090010, 0x00091001, 0x00190010, 0x00191008, 0x00290010, 0x00291010, 0x00291020, 0x00511001)
ITEM, ITEM_END, SEQUENCE_END = (
    struct.pack("<2HI", 0xFFFE, element, 0) for element in (0xE000, 0xE00D, 0xE0DD)
)


def mark(tag: int) -> bytes:
    """Sixteen bytes, which also numbers of two, four and eight bytes can hold."""
    return f"ZQ{tag:08X}MARK".encode().ljust(16)


# The digests that leave the reader: without a key, a short identifier could be found by trying.
DIGESTS = [hashlib.sha256(mark(tag).strip()).hexdigest().encode() for tag in (0x00100020, 0x0020000D)]


def marks_in(content: bytes) -> set[bytes]:
    return {*MARK.findall(content), *(digest for digest in DIGESTS if digest in content)}


def attributes() -> dict[int, str]:
    """All attributes of the standard (PS3.6) that pixels do not need, and some private ones, with their VR.

    So all of PS3.15 Table E.1-1 that may stand in an image.
    """
    known = {tag: entry[0] for tag, entry in DicomDictionary.items()}
    for pattern, entry in RepeatersDictionary.items():
        for digits in ("00", "02", "1E"):
            known[int(_filled(pattern, digits), 16)] = entry[0]
    known |= dict.fromkeys(PRIVATE, "LO")
    return {tag: vr.split()[0] for tag, vr in sorted(known.items()) if vr != "NONE" and _is_marked(tag)}


def _filled(pattern: str, digits: str) -> str:
    """("60xx3000", "1E") -> "601E3000"."""
    wide = pattern.count("x")
    return pattern.replace("x" * wide, digits.zfill(wide)[-wide:])


def _is_marked(tag: int) -> bool:
    group, element = tag >> 16, tag & 0xFFFF
    return tag not in NEEDED and group not in NO_ATTRIBUTES and element != 0


def marked(file: bytes) -> bytes:
    """The same picture, between marks."""
    data: Any = dcmread(io.BytesIO(file))
    elements = {int(element.tag): _needed(element) for element in data if int(element.tag) in NEEDED}
    elements |= {tag: _marked(tag, vr) for tag, vr in attributes().items()}
    body = b"".join(elements[tag] for tag in sorted(elements))
    meta = _meta(str(data.file_meta.TransferSyntaxUID))
    return mark(0xFFFFFFFF) * 8 + b"DICM" + meta + body


def _needed(element: Any) -> bytes:
    alone, buffer = Dataset(), DicomBytesIO()
    alone.add(element)
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    write_dataset(buffer, alone)
    return buffer.getvalue()


def _marked(tag: int, vr: str) -> bytes:
    if vr == "SQ":
        nested = _element(0x00100010, "PN", mark(tag)) + _element(0x00091001, "LO", mark(tag))
        return _element(tag, "SQ", ITEM[:4] + struct.pack("<I", len(nested)) + nested)
    return _element(tag, vr, mark(tag) * (50 if vr in LONG_LENGTHS else 1))


def _element(tag: int, vr: str, value: bytes) -> bytes:
    head = struct.pack("<2H2s", tag >> 16, tag & 0xFFFF, vr.encode())
    form = "<2xI" if vr in LONG_LENGTHS else "<H"
    return head + struct.pack(form, len(value)) + value


def _meta(transfer_syntax: str) -> bytes:
    syntax = transfer_syntax.encode()
    values = {0x00020001: b"\0\1", 0x00020010: syntax + b"\0" * (len(syntax) % 2)}
    vrs = {tag: entry[0] for tag, entry in DicomDictionary.items() if tag >> 16 == 2 and tag & 0xFFFF}
    rest = b"".join(_element(tag, vr, values.get(tag, mark(tag))) for tag, vr in sorted(vrs.items()))
    return _element(0x00020000, "UL", struct.pack("<I", len(rest))) + rest


BONE = draw_bone("Oblique")
TWELVE = BONE.astype(np.uint16) * 16


def explained() -> list[Dataset]:
    """A lookup table, which is read, with an explanation, which is not."""
    table = lookup_table([4096, 0, 16], np.arange(4096) * 16)
    table[0].LUTExplanation = mark(0x00283003).decode()
    return table


TEXT = mark(0x00080060).decode().strip()
READ: dict[str, Callable[[], bytes]] = {
    "plain": lambda: marked(dicom(TWELVE, WindowCenter=2000, WindowWidth=3000)),
    "with a lookup table": lambda: marked(dicom(TWELVE, VOILUTSequence=explained())),
    "with a mark as window function": lambda: marked(
        dicom(TWELVE, WindowCenter=1, WindowWidth=9, VOILUTFunction=TEXT)
    ),
    **{
        syntax: lambda syntax=syntax: marked(compress(dicom(BONE), syntax))
        for syntax in ("jpeg", "jpeg lossless", "jpeg-ls", "jpeg 2000 lossless", "run lengths")
    },
}

REFUSED: dict[str, Callable[[], bytes]] = {
    "another modality": lambda: marked(dicom(TWELVE, Modality="CT")),
    "a mark as modality": lambda: marked(dicom(TWELVE, Modality=TEXT)),
    "a mark as colours": lambda: marked(dicom(TWELVE, PhotometricInterpretation=TEXT)),
    "burned-in annotation": lambda: marked(dicom(TWELVE, BurnedInAnnotation="YES")),
    "several frames": lambda: marked(dicom(TWELVE, NumberOfFrames=2)),
    "too many pixels": lambda: marked(dicom(TWELVE, Rows=60_000, Columns=60_000)),
    "32 bits": lambda: marked(dicom(TWELVE, BitsAllocated=32)),
    "no picture": lambda: marked(dicom(None)),
    "cut off in the attributes": lambda: marked(dicom(TWELVE))[:60_000],
    "cut off in the pixels": lambda: marked(dicom(TWELVE))[:-200_000],
    "a stream that crashes its decoder": lambda: crashing(),
    "marks alone": lambda: mark(0x00100010) * 100,
}


def crashing() -> bytes:
    whole = bytearray(marked(compress(dicom(BONE), "jpeg lossless")))
    whole[whole.index(b"\xff\xd8\xff") + 15] = 29
    return bytes(whole)
