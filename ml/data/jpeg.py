"""Reads the structure of JPEG streams (ITU-T T.81, annex B) without decoding them."""

from __future__ import annotations

import hashlib
import io
import random
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass, field

from PIL import JpegImagePlugin

from ml.data.image_limits import ImageRefused

START_OF_IMAGE, END_OF_IMAGE, START_OF_SCAN = 0xD8, 0xD9, 0xDA
JPEG_LS = 0xF7
PROGRESSIVE = frozenset({0xC2, 0xCA})
# SOF0 to SOF15 without DHT, JPG and DAC, which share their range; and SOF55 (ITU-T T.87) of JPEG-LS.
START_OF_FRAME = frozenset({*range(0xC0, 0xD0), JPEG_LS} - {0xC4, 0xC8, 0xCC})
# Compressions that share the format's signature and that no viewer of photographs reads.
OTHER_COMPRESSIONS = {
    **dict.fromkeys((0xC3, 0xCB), "lossless JPEG"),
    **dict.fromkeys((0xC5, 0xC6, 0xC7, 0xCD, 0xCE, 0xCF), "hierarchical JPEG"),
    JPEG_LS: "JPEG-LS",
}
# In compressed data FF is followed by 00, a restart marker, or a fill byte. All other pairs are markers.
NEXT_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
# Real files have less than a thousand segments.
MAX_SEGMENTS = 100_000
NUM_COEFFICIENTS = 64
# A file whose end was never written often ends in zeros.
MAX_EQUAL_BYTES = 16


class Incomplete(Exception):
    """The end of the stream is missing, and pixels with it."""


@dataclass
class JpegStructure:
    """What the markers of a stream declare.

    Attributes:
        frame: Marker of the frame header, which names the compression; 0 if there is none.
        precision: Bits per sample.
        width, height: Size in pixels.
        num_components: Number of colour channels.
        num_scans: Number of scans.
        end: Offset behind the end marker, or the length of the stream.
        has_end: Whether there is an end marker.
    """

    frame: int = 0
    precision: int = 0
    width: int = 0
    height: int = 0
    num_components: int = 0
    num_scans: int = 0
    end: int = 0
    has_end: bool = False
    # For each component the number of bits that each of its coefficients still lacks.
    _missing_bits: dict[int, list[int | None]] = field(default_factory=dict)

    @property
    def has_all_scans(self) -> bool:
        """Whether the scans contain all bits of all coefficients of all components."""
        missing = [bits for component in self._missing_bits.values() for bits in component]
        return len(self._missing_bits) == self.num_components > 0 and not any(
            bits is None or bits for bits in missing
        )

    def add_frame(self, marker: int, segment: bytes) -> None:
        """Reads a frame header (T.81 B.2.2)."""
        if self.frame or len(segment) < 6:
            return
        self.frame = marker
        self.precision, self.height, self.width, self.num_components = struct.unpack_from(">B2HB", segment)

    def add_scan(self, segment: bytes) -> None:
        """Reads a scan header (T.81 B.2.3)."""
        self.num_scans += 1
        if not segment or len(segment) < 4 + 2 * segment[0]:
            return
        components = segment[1 : 1 + 2 * segment[0] : 2]
        first, last, approximation = segment[1 + 2 * segment[0] : 4 + 2 * segment[0]]
        if self.frame not in PROGRESSIVE:
            first, last, approximation = 0, NUM_COEFFICIENTS - 1, 0
        for component in components:
            missing = self._missing_bits.setdefault(component, [None] * NUM_COEFFICIENTS)
            for coefficient in range(first, min(last + 1, NUM_COEFFICIENTS)):
                missing[coefficient] = approximation & 0x0F


def read_structure(stream: bytes) -> JpegStructure:
    """Reads the markers of a stream that starts with a start-of-image marker.

    Segments are skipped by their length, so markers inside of comments, thumbnails and colour profiles do not count,
    nor does anything behind the end of the image.

    Raises:
        ImageRefused: The stream has more segments than real files do.
    """
    structure = JpegStructure(end=len(stream))
    position = 2
    for _ in range(MAX_SEGMENTS):
        found = NEXT_MARKER.search(stream, position)
        if found is None:
            return structure
        marker, position = stream[found.end() - 1], found.end()
        if marker == END_OF_IMAGE:
            structure.end, structure.has_end = position, True
            return structure
        length = int.from_bytes(stream[position : position + 2], "big")
        if marker in (START_OF_IMAGE, 0x01) or length < 2:  # markers without a segment, and junk
            continue
        segment = stream[position + 2 : position + length]
        if len(segment) < length - 2:
            return structure
        if marker in START_OF_FRAME:
            structure.add_frame(marker, segment)
        elif marker == START_OF_SCAN:
            structure.add_scan(segment)
            if structure.frame == JPEG_LS:  # Its compressed data follow other rules.
                structure.has_end = True
                return structure
        position += length
    raise ImageRefused(f"The JPEG image has more than {MAX_SEGMENTS:,} segments, which is not supported.")


def pillow_pixels(stream: bytes) -> bytes:
    """Returns the pixels of a stream of 8 bits."""
    with JpegImagePlugin.JpegImageFile(io.BytesIO(stream)) as image:
        image.load()
        return image.tobytes()


def add_missing_end(
    stream: bytes, structure: JpegStructure, decode: Callable[[bytes], bytes] = pillow_pixels
) -> bytes:
    """Returns the stream with an end marker, if nothing else is missing.

    A decoder continues with whatever follows the last scan as long as it lacks pixels. Therefore the picture is
    complete if it does not depend on what is appended.

    Args:
        stream: A JPEG stream without an end marker.
        structure: Its structure.
        decode: Returns the pixels of a stream.

    Raises:
        Incomplete: Pixels are missing as well.
        Exception: The decoder's own, for damaged streams.
    """
    if not structure.frame:
        raise ValueError("The stream has no frame.")
    body = stream.rstrip(b"\xff")
    if not structure.has_all_scans or len(set(body[-MAX_EQUAL_BYTES:])) == 1:
        raise Incomplete
    source = random.Random(0)  # noqa: S311 - not used for security
    continuations = [b"", *(bytes(source.randrange(255) for _ in range(64)) for _ in range(2))]
    digests = {
        hashlib.sha256(decode(body + bytes_behind + b"\xff\xd9")).digest() for bytes_behind in continuations
    }
    if len(digests) > 1:
        raise Incomplete
    return body + b"\xff\xd9"
