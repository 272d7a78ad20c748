"""Kinds of JPEG and PNG files."""

from __future__ import annotations

import io
import zlib

import numpy as np
from PIL import Image

from tests.extended_jpeg import encode as encode_extended
from tests.intake_cases import Case
from tests.intake_pictures import (
    BONE,
    TWELVE,
    chunk,
    dicom,
    insert_chunk,
    insert_segment,
    jpeg,
    of_jpeg,
    png,
    stretched,
    to_levels,
)
from tests.ml.compressed import compress

COMMENT, APP1, APP2 = 0xFE, 0xE1, 0xE2
END = b"\xff\xd9"
GREY_JPEG = jpeg()
SHOWN = of_jpeg(GREY_JPEG)
CUT_OFF = "The JPEG file is cut off: its end is missing."
PNG_DAMAGED = "The PNG file is damaged and cannot be read."
PROGRESSIVE = jpeg(progressive=True)


def exif(orientation: int) -> bytes:
    data = Image.Exif()
    data[0x0112] = orientation
    return data.tobytes()


XMP_TURNED = (
    b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF "
    b"xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'><rdf:Description "
    b"xmlns:tiff='http://ns.adobe.com/tiff/1.0/' tiff:Orientation='6'/></rdf:RDF></x:xmpmeta>"
)


def stream_of(syntax: str, pixels: np.ndarray = BONE) -> bytes:  # type: ignore[type-arg]
    """Returns the stream in a compressed DICOM file as a file of its own."""
    content = compress(dicom(pixels), syntax)
    start = content.index(b"\xff\xd8\xff")
    return content[start : content.rindex(END) + 2]


def film(marks: int) -> bytes:
    """Returns the film behind a motion photo, in which the bytes of a scan's marker occur."""
    return b"\0\0\0\x18ftypmp42" + b"\xff\xda\0\0" * marks


def with_fill_bytes(stream: bytes) -> bytes:
    """Returns a JPEG file with fill bytes before each segment's marker (T.81 B.1.1.2)."""
    position, parts = 2, [stream[:2]]
    while stream[position + 1] != 0xDA:
        length = int.from_bytes(stream[position + 2 : position + 4], "big") + 2
        parts += [b"\xff\xff\xff", stream[position : position + length]]
        position += length
    return b"".join(parts) + b"\xff\xff" + stream[position:]


def png_with(kind: bytes, data: bytes, *, is_valid: bool = True) -> bytes:
    return insert_chunk(png(), kind, data, is_valid=is_valid)


def with_wrong_checksum(kind: bytes) -> bytes:
    """Returns a PNG file in which the checksum of a chunk is wrong."""
    content = bytearray(png())
    start = content.index(kind)
    length = int.from_bytes(content[start - 4 : start], "big")
    content[start + 4 + length] ^= 1
    return bytes(content)


def colour_png(samples: np.ndarray) -> bytes:  # type: ignore[type-arg]
    """Returns a PNG file with three channels of 16 bits, which Pillow does not write."""
    height, width = samples.shape
    rows = b"".join(b"\0" + np.repeat(row.astype(">u2"), 3).tobytes() for row in samples)
    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([16, 2, 0, 0, 0])
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def with_exif_turn(kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.rot90(BONE)).save(buffer, kind, exif=exif(6), quality=95)
    return buffer.getvalue()


DIM_COLOUR = (
    "The PNG file has colour channels of 16 bits of which it uses less than half. "
    "Please upload it as a greyscale image."
)

JPEG_CASES = [
    Case("JPEG", "baseline", lambda: GREY_JPEG, SHOWN, 0),
    Case("JPEG", "progressive", lambda: PROGRESSIVE, of_jpeg(PROGRESSIVE), 0),
    Case("JPEG", "a film behind its end, as in motion photos", lambda: GREY_JPEG + film(500), SHOWN, 0),
    Case("JPEG", "a second JPEG behind its end, such as a depth map", lambda: GREY_JPEG + PROGRESSIVE * 20, SHOWN, 0),
    Case("JPEG", "marker bytes in a comment", lambda: insert_segment(GREY_JPEG, COMMENT, b"\xff\xda" * 300), SHOWN, 0),
    Case("JPEG", "marker bytes in a colour profile", lambda: insert_segment(GREY_JPEG, APP2, b"\xff\xda\xff\xd9" * 200), SHOWN, 0),
    Case("JPEG", "fill bytes before its markers", lambda: with_fill_bytes(GREY_JPEG), SHOWN, 0),
    Case("JPEG", "no end marker, all pixels", lambda: GREY_JPEG[:-2], SHOWN, 0),
    Case("JPEG", "half an end marker, all pixels", lambda: GREY_JPEG[:-1], SHOWN, 0),
    Case("JPEG", "no end marker, progressive, all pixels", lambda: PROGRESSIVE[:-2], of_jpeg(PROGRESSIVE), 0),
    Case("JPEG", "no end marker, the last pixels missing", lambda: GREY_JPEG[:-60], CUT_OFF),
    Case("JPEG", "no end marker, the last scan missing", lambda: PROGRESSIVE[: PROGRESSIVE.rindex(b"\xff\xda")], CUT_OFF),
    Case("JPEG", "half of it, the rest zeros", lambda: GREY_JPEG[: len(GREY_JPEG) // 2] + bytes(len(GREY_JPEG)), CUT_OFF),
    Case("JPEG", "EXIF orientation", lambda: with_exif_turn("JPEG"), BONE, 3),
    Case("JPEG", "XMP orientation only", lambda: insert_segment(GREY_JPEG, APP1, XMP_TURNED), SHOWN, 0),
    Case("JPEG", "EXIF and XMP orientation that differ", lambda: insert_segment(with_exif_turn("JPEG"), APP1, XMP_TURNED.replace(b"'6'", b"'3'")), BONE, 3),
    Case("JPEG", "12 bits", lambda: encode_extended(TWELVE), "The JPEG file has 12 bits per sample, which is only supported in DICOM files."),
    Case("JPEG", "lossless, 12 bits", lambda: stream_of("jpeg lossless", TWELVE), "The file is compressed as lossless JPEG, which is only supported in DICOM files."),
    Case("JPEG", "JPEG-LS", lambda: stream_of("jpeg-ls"), "The file is compressed as JPEG-LS, which is only supported in DICOM files."),
    Case("JPEG", "more than 100 scans", lambda: PROGRESSIVE[:-2] + PROGRESSIVE[PROGRESSIVE.rindex(b"\xff\xda") : -2] * 100 + END, "The JPEG file has more than 100 scans, which is not supported."),
    Case("JPEG", "more than 100,000 segments", lambda: GREY_JPEG[:2] + b"\xff\xe0\0\2" * 100_001 + GREY_JPEG[2:], "The JPEG image has more than 100,000 segments, which is not supported."),
    Case("JPEG", "nothing but a start", lambda: b"\xff\xd8\xff" + bytes(500), "The JPEG file is damaged and cannot be read."),
]  # fmt: skip

PNG_CASES = [
    Case("PNG", "8 bits", png, BONE, 0),
    Case("PNG", "16 bits", lambda: png(BONE.astype(np.uint16) * 257), to_levels(BONE / 255), 0),
    Case("PNG", "10 bits in 16", lambda: png(TWELVE // 4), stretched(TWELVE // 4)),
    Case("PNG", "12 bits in 16", lambda: png(TWELVE), stretched(TWELVE)),
    Case("PNG", "14 bits in 16", lambda: png(TWELVE * 4), stretched(TWELVE)),
    Case("PNG", "12 bits in 16, in colour", lambda: colour_png(TWELVE), DIM_COLOUR),
    Case("PNG", "16 bits in colour", lambda: colour_png(BONE.astype(int) * 257), BONE, 0),
    Case("PNG", "a wrong checksum in a text", lambda: png_with(b"tEXt", b"Comment\0none", is_valid=False), BONE, 0),
    Case("PNG", "a wrong checksum in a compressed text", lambda: png_with(b"zTXt", b"Comment\0\0xx", is_valid=False), BONE, 0),
    Case("PNG", "a wrong checksum in a time", lambda: png_with(b"tIME", bytes(7), is_valid=False), BONE, 0),
    Case("PNG", "a text of 3 MB", lambda: png_with(b"zTXt", b"Comment\0\0" + zlib.compress(b" " * 3 * 1024**2)), BONE, 0),
    Case("PNG", "texts of 70 MB together", lambda: b"".join([png()[:33], *[chunk(b"iTXt", b"k\0\1\0\0\0" + zlib.compress(b" " * 10**6))] * 70, png()[33:]]), BONE, 0),
    Case("PNG", "a damaged colour profile", lambda: png_with(b"iCCP", b"p\0\0damaged"), BONE, 0),
    Case("PNG", "a chunk that no standard knows", lambda: png_with(b"prIv", b"whatever"), BONE, 0),
    Case("PNG", "EXIF orientation", lambda: with_exif_turn("PNG"), BONE, 0),
    Case("PNG", "XMP orientation only", lambda: png_with(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP_TURNED[29:]), BONE, 0),
    Case("PNG", "data behind its end", lambda: png() + film(500), BONE, 0),
    Case("PNG", "a wrong checksum of its pixels, which are right", lambda: with_wrong_checksum(b"IDAT"), BONE, 0),
    Case("PNG", "a wrong checksum of its header", lambda: with_wrong_checksum(b"IHDR"), PNG_DAMAGED),
    Case("PNG", "no end", lambda: png()[:-12], "The PNG file is cut off: its end is missing."),
    Case("PNG", "more than a million chunks", lambda: png()[:33] + chunk(b"tEXt", b"") * 1_000_001 + png()[33:], "The PNG file has more than 1,000,000 chunks, which is not supported."),
]  # fmt: skip
