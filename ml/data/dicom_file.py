"""Opens DICOM files: finds the encoding of the data set, the few attributes that are read, and the pixel data."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import BinaryIO, Literal

from pydicom import DataElement, Dataset
from pydicom.dataelem import RawDataElement
from pydicom.filereader import data_element_generator
from pydicom.tag import BaseTag, Tag
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
)
from pydicom.valuerep import EXPLICIT_VR_LENGTH_32

from ml.data.dicom_attributes import Attributes, swap_words
from ml.data.dicom_encoding import (
    META_GROUP,
    PREFIX,
    PREFIX_END,
    PREFIX_START,
    VALUE_REPRESENTATIONS,
    Encoding,
    guess_encoding,
)
from ml.data.image_limits import ImageRefused

CUT_OFF = "The DICOM file is cut off: its end is missing."
PIXEL_DATA, PIXEL_DATA_HEADER = 0x7FE00010, 8
ITEM = (0xFFFE, 0xE000)
UNDEFINED_LENGTH = 0xFFFFFFFF
MEDIA_STORAGE_DIRECTORY = "1.2.840.10008.1.3.10"
INFLATED_SAMPLE = 4096


@dataclass(frozen=True)
class DicomFile:
    """An opened file.

    Attributes:
        attributes: The attributes that were asked for.
        syntax: Transfer syntax that the file declares; empty if it declares none.
        pixel_data: Pixel data in little-endian order, or one compressed stream; empty if there are none.
        is_encapsulated: Whether the pixel data are a compressed stream.
        is_cut_off: Whether the file ends within an element that is read.
    """

    attributes: Attributes
    syntax: UID
    pixel_data: bytes
    is_encapsulated: bool
    is_cut_off: bool


def open_dicom(file: BinaryIO, keywords: Iterable[str]) -> DicomFile:
    """Reads attributes and pixel data; other attributes are skipped.

    The preamble, the file meta information and the transfer syntax may be missing.

    Args:
        file: A seekable file, read from its start.
        keywords: Attributes to read.

    Raises:
        ImageRefused: The file is a DICOMDIR, deflated, or its encoding is unknown.
    """
    size = file.seek(0, 2)
    meta = _read_meta(file)
    if meta.texts("MediaStorageSOPClassUID")[0] == MEDIA_STORAGE_DIRECTORY:
        raise ImageRefused(
            "The file is a DICOMDIR, the table of contents of a disc. Please upload the images that it lists."
        )
    syntax = UID(meta.texts("TransferSyntaxUID")[0])
    encoding = _encoding(file, syntax, size)
    dataset, is_cut_off = _read_elements(file, encoding, [Tag(keyword) for keyword in keywords])
    attributes = Attributes(dataset, encoding.is_little_endian)
    is_cut_off = is_cut_off or file.tell() > size
    header = b"" if is_cut_off else file.read(PIXEL_DATA_HEADER)
    if len(header) < PIXEL_DATA_HEADER:
        return DicomFile(attributes, syntax, b"", False, is_cut_off or bool(header))
    vr, length = _parse_header(file, header, encoding)
    if length == UNDEFINED_LENGTH:
        stream, is_cut_off = _join_fragments(file.read())
        return DicomFile(attributes, syntax, stream, True, is_cut_off)
    pixel_data = file.read(length)
    # The words of all value representations but OB are swapped (PS3.5 annex A.3).
    words = pixel_data if encoding.is_little_endian or vr == b"OB" else swap_words(pixel_data)
    return DicomFile(attributes, syntax, words, False, len(pixel_data) < length)


def _read_meta(file: BinaryIO) -> Attributes:
    """Reads the file meta information (PS3.10 7.1), where there is any; the file is then at the data set."""
    file.seek(0)
    head = file.read(PREFIX_END + 8)
    start = PREFIX_END if head[PREFIX_START:PREFIX_END] == PREFIX else len(PREFIX) * head.startswith(PREFIX)
    file.seek(start)
    if int.from_bytes(head[start : start + 2], "little") != META_GROUP:
        return Attributes(Dataset())
    encoding = guess_encoding(head[start:]) or Encoding(False)
    elements = data_element_generator(
        file, encoding.is_implicit, True, stop_when=lambda tag, vr, length: tag.group != META_GROUP
    )
    return Attributes(Dataset({element.tag: element for element in elements}))


def _encoding(file: BinaryIO, syntax: UID, size: int) -> Encoding:
    """Returns the encoding of the data set, which starts at the file's position."""
    if syntax and syntax.type != "Transfer Syntax":
        raise ImageRefused("The transfer syntax of the DICOM file is not supported.")
    start = file.tell()
    head = file.read(INFLATED_SAMPLE)
    file.seek(start)
    if guess := guess_encoding(head):
        return guess
    if start == size:
        raise ImageRefused(CUT_OFF)
    # A deflated file of 200 MB may inflate to 200 GB.
    if syntax == DeflatedExplicitVRLittleEndian or guess_encoding(_inflate_start(head)):
        raise ImageRefused("The DICOM file is deflated (compressed as a whole), which is not supported.")
    return Encoding(syntax == ImplicitVRLittleEndian, syntax != ExplicitVRBigEndian)


def _inflate_start(head: bytes) -> bytes:
    try:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(head, INFLATED_SAMPLE)
    except zlib.error:
        return b""


def _read_elements(file: BinaryIO, encoding: Encoding, tags: list[BaseTag]) -> tuple[Dataset, bool]:
    """Reads the elements before the pixel data, where the file is then; and whether the file ends too early."""
    elements: dict[BaseTag, RawDataElement | DataElement] = {}
    is_cut_off = False
    try:
        for element in data_element_generator(
            file,
            encoding.is_implicit,
            encoding.is_little_endian,
            stop_when=lambda tag, vr, length: tag == PIXEL_DATA,
            specific_tags=tags,
        ):
            elements[element.tag] = element
            if isinstance(element, RawDataElement) and element.length != UNDEFINED_LENGTH:
                is_cut_off = is_cut_off or len(element.value or b"") < element.length
    except EOFError:
        is_cut_off = True
    return Dataset(elements), is_cut_off


def _parse_header(file: BinaryIO, header: bytes, encoding: Encoding) -> tuple[bytes, int]:
    """Returns the value representation and the length of the element whose first 8 bytes have been read."""
    order: Literal["little", "big"] = "little" if encoding.is_little_endian else "big"
    vr = header[4:6]
    if encoding.is_implicit or vr not in VALUE_REPRESENTATIONS:
        return b"OW", int.from_bytes(header[4:8], order)
    if vr.decode() in EXPLICIT_VR_LENGTH_32:
        return vr, int.from_bytes(file.read(4), order)
    return vr, int.from_bytes(header[6:8], order)


def _join_fragments(encapsulated: bytes) -> tuple[bytes, bool]:
    """Returns the compressed stream of a single frame (PS3.5 annex A.4), and whether the file ends within it."""
    fragments: list[bytes] = []
    position, is_offset_table = 0, True
    while position + 8 <= len(encapsulated):
        group, element, length = struct.unpack_from("<2HI", encapsulated, position)
        position += 8
        if (group, element) != ITEM:
            break
        if position + length > len(encapsulated):
            return b"".join(fragments), True
        if not is_offset_table:
            fragments.append(encapsulated[position : position + length])
        is_offset_table = False
        position += length
    return b"".join(fragments), not fragments and position >= len(encapsulated)
