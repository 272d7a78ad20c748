"""Decodes the pixel data of DICOM files, plain or compressed."""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from typing import Any

import gdcm
import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels import pixel_array
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from ml.data import jpeg
from ml.data.image_limits import ImageRefused, check_scans, check_size

Words = NDArray[np.uint8] | NDArray[np.uint16]

# gdcm crashes on some damaged files, so it decodes only what no other decoder supports.
DECODERS = {
    **dict.fromkeys((JPEGBaseline8Bit, JPEGExtended12Bit), "pillow"),
    **dict.fromkeys((JPEG2000Lossless, JPEG2000, HTJ2KLossless, HTJ2KLosslessRPCL, HTJ2K), "pylibjpeg"),
    **dict.fromkeys((JPEGLossless, JPEGLosslessSV1, JPEGLSLossless, JPEGLSNearLossless), "gdcm"),
    RLELossless: "pydicom",
}
# Transfer syntaxes of streams by their frame header, for files that do not declare one.
SYNTAXES_BY_FRAME = {
    0xC0: JPEGBaseline8Bit,
    0xC1: JPEGExtended12Bit,
    0xC3: JPEGLossless,
    jpeg.JPEG_LS: JPEGLSLossless,
}
JPEG_START, JPEG_2000_START = b"\xff\xd8", b"\xff\x4f\xff\x51"
JP2_START = b"\0\0\0\x0cjP  "


@dataclass(frozen=True)
class SampleLayout:
    """How the header says that pixels are stored (PS3.3 C.7.6.3)."""

    rows: int
    columns: int
    samples: int
    photometric: str
    planar: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    is_signed: bool


@dataclass(frozen=True)
class Codestream:
    """What a compressed stream declares; `frame` is the marker of a JPEG frame, or 0."""

    width: int
    height: int
    precision: int
    num_components: int
    frame: int = 0


def decode_native(pixel_data: bytes, layout: SampleLayout) -> Words:
    """Returns uncompressed pixels: words (H, W), or uint8 (H, W, 3) in RGB order.

    Args:
        pixel_data: Words in little-endian order; what follows the pixels is ignored.
        layout: Layout of the pixels.

    Raises:
        ImageRefused: There are too few pixels.
    """
    per_pixel = 2 if layout.photometric == "YBR_FULL_422" else layout.samples
    count = layout.rows * layout.columns * per_pixel
    if len(pixel_data) * 8 < count * layout.bits_allocated:
        raise ImageRefused("The DICOM file has fewer pixels than its header declares.")
    if layout.samples == 1:
        words = np.frombuffer(pixel_data, f"<u{layout.bits_allocated // 8}", count)
        return words.reshape(layout.rows, layout.columns)
    return _decode_with_pydicom(pixel_data, ExplicitVRLittleEndian, layout, "")


def decode_stream(stream: bytes, syntax: UID, layout: SampleLayout) -> tuple[Words, int]:
    """Decodes a compressed stream.

    Args:
        stream: The stream of the only frame.
        syntax: Declared transfer syntax; if it is empty or not one of a compression, the stream tells.
        layout: Layout of the pixels.

    Returns:
        Words (H, W), or uint8 (H, W, 3) in RGB order; and the bits of the samples in the stream.

    Raises:
        ImageRefused: The compression is not supported, or the stream differs from the header.
        Exception: The decoder's own, for damaged streams.
    """
    is_stated = bool(syntax) and syntax.is_compressed
    if is_stated and syntax not in DECODERS:
        raise ImageRefused("The compression of the DICOM file is not supported.")
    if syntax == RLELossless:
        return _decode_with_pydicom(stream, syntax, layout, DECODERS[syntax]), layout.bits_allocated
    header = read_header(stream)
    # Decoders allocate memory for the size of the stream, not for the header's.
    check_size(header.width, header.height)
    if (header.width, header.height) != (layout.columns, layout.rows):
        raise ImageRefused("The header of the DICOM file and its compressed image differ in size.")
    if header.num_components != layout.samples:
        raise ImageRefused("The header of the DICOM file and its compressed image differ in their colours.")
    if header.precision > layout.bits_allocated:
        raise ImageRefused("The DICOM file has more bits per sample than its header declares.")
    if header.frame and (
        not is_stated or (header.frame in SYNTAXES_BY_FRAME and DECODERS[syntax] == "pillow")
    ):
        syntax = SYNTAXES_BY_FRAME.get(header.frame, syntax)
    elif not is_stated:
        syntax = JPEG2000
    return _decode(stream, syntax, layout, header), header.precision


def read_header(stream: bytes) -> Codestream:
    """Returns what a JPEG 2000 (ITU-T T.800 A.5.1), JPEG or JPEG-LS stream declares.

    Raises:
        ValueError: It is none of these.
    """
    start = _jpeg_2000_start(stream)
    if stream.startswith(JPEG_2000_START, start):
        width, height, left, top = struct.unpack_from(">4I", stream, start + 8)
        count, depth = struct.unpack_from(">HB", stream, start + 40)
        return Codestream(max(0, width - left), max(0, height - top), (depth & 0x7F) + 1, count)
    if not stream.startswith(JPEG_START):
        raise ValueError("The stream is neither JPEG 2000 nor JPEG.")
    found = jpeg.read_structure(stream)
    check_scans(found.num_scans, found.width, found.height)
    return Codestream(found.width, found.height, found.precision, found.num_components, found.frame)


def _decode(stream: bytes, syntax: UID, layout: SampleLayout, header: Codestream) -> Words:
    if DECODERS[syntax] != "pillow":
        return _decode_with_pydicom(stream, syntax, layout, DECODERS[syntax])
    structure = jpeg.read_structure(stream)
    if header.precision > 8:
        if not structure.has_end:
            stream = jpeg.add_missing_end(
                stream, structure, lambda each: _decode_with_gdcm(each, layout, header)
            )
        words = np.frombuffer(_decode_with_gdcm(stream, layout, header), "<u2", layout.rows * layout.columns)
        return words.reshape(layout.rows, layout.columns)
    if not structure.has_end:
        stream = jpeg.add_missing_end(stream, structure)
    layout = replace(layout, bits_allocated=8, bits_stored=min(layout.bits_stored, 8))
    return _decode_with_pydicom(stream, syntax, layout, "pillow")


def _decode_with_pydicom(pixel_data: bytes, syntax: UID, layout: SampleLayout, plugin: str) -> Words:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = layout.rows, layout.columns, layout.samples
    dataset.PhotometricInterpretation = layout.photometric
    dataset.BitsAllocated, dataset.BitsStored = layout.bits_allocated, layout.bits_stored
    dataset.HighBit, dataset.PixelRepresentation = layout.bits_stored - 1, int(layout.is_signed)
    if layout.samples > 1:
        dataset.PlanarConfiguration = layout.planar
    dataset.PixelData = encapsulate([pixel_data], has_bot=False) if syntax.is_compressed else pixel_data
    # Without index, surplus bytes after the pixels would be decoded as further frames.
    decoded: NDArray[Any] = pixel_array(dataset, index=0, decoding_plugin=plugin)
    if decoded.dtype.itemsize * 8 > layout.bits_allocated:
        raise ImageRefused("The DICOM file has more bits per sample than its header declares.")
    return decoded.view(f"u{decoded.dtype.itemsize}")


def _decode_with_gdcm(stream: bytes, layout: SampleLayout, header: Codestream) -> bytes:
    """Decodes JPEG Extended of 12 bits, which pydicom does not ask gdcm to do, to 16-bit words."""
    fragment, fragments = gdcm.Fragment(), gdcm.SequenceOfFragments.New()
    fragment.SetByteStringValue(stream)
    fragments.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())
    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((layout.columns, layout.rows, 1))
    image.SetDataElement(element)
    image.SetPhotometricInterpretation(
        gdcm.PhotometricInterpretation(gdcm.PhotometricInterpretation.MONOCHROME2)
    )
    image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGExtendedProcess2_4))
    image.SetPixelFormat(gdcm.PixelFormat(1, 16, header.precision, header.precision - 1, 0))
    return bytes(image.GetBuffer().encode("utf-8", "surrogateescape"))


def _jpeg_2000_start(stream: bytes) -> int:
    """Returns the offset of the codestream; some files embed a JP2 file, with boxes before it (T.800 I.4)."""
    if not stream.startswith(JP2_START):
        return 0
    position = 12
    while stream[position + 4 : position + 8] != b"jp2c":
        (length,) = struct.unpack_from(">I", stream, position)
        # pydicom loops forever at a box of length 0.
        if length < 8:
            raise ValueError("The JP2 file has a box without length.")
        position += length
    return position + 8
