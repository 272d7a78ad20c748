"""Reduces PNG files to the chunks that their pixels need."""

from __future__ import annotations

import zlib

from ml.data.image_limits import ImageRefused

SIGNATURE = b"\x89PNG\r\n\x1a\n"
END = b"IEND\xae\x42\x60\x82"
# Transparency, EXIF orientation, and animation, which is refused.
USED_ANCILLARY_CHUNKS = frozenset({b"tRNS", b"eXIf", b"acTL", b"fcTL", b"fdAT"})
# Length, type and checksum of a chunk.
CHUNK_OVERHEAD = 12
# A file of 200 MB in chunks of 1 kB has 200,000.
MAX_CHUNKS = 1_000_000
CUT_OFF = "The PNG file is cut off: its end is missing."
DAMAGED = "The PNG file is damaged and cannot be read."


def keep_used_chunks(content: bytes) -> bytes:
    """Returns the file without texts, times, profiles and whatever follows its end.

    A viewer ignores ancillary chunks that are damaged or that it does not know (PNG 13.2), whatever their length.

    Raises:
        ImageRefused: The file is cut off, damaged, or has too many chunks.
    """
    view = memoryview(content)
    kept = [view[: len(SIGNATURE)]]
    position = len(SIGNATURE)
    for _ in range(MAX_CHUNKS):
        length, kind = (
            int.from_bytes(view[position : position + 4], "big"),
            bytes(view[position + 4 : position + 8]),
        )
        end = position + length + CHUNK_OVERHEAD
        if end > len(view):
            raise ImageRefused(DAMAGED if END in content else CUT_OFF)
        if _is_used(kind, view[position + 4 : end - 4], view[end - 4 : end]):
            kept.append(view[position:end])
        if kind == b"IEND":
            return b"".join(kept)
        position = end
    raise ImageRefused(f"The PNG file has more than {MAX_CHUNKS:,} chunks, which is not supported.")


def _is_used(kind: bytes, kind_and_data: memoryview, checksum: memoryview) -> bool:
    """Critical chunks have a capital first letter (PNG 5.4); the decoder checks them."""
    is_critical = not kind[0] & 0x20
    return is_critical or (
        kind in USED_ANCILLARY_CHUNKS and zlib.crc32(kind_and_data) == int.from_bytes(checksum, "big")
    )


def is_dim_in_colour(content: bytes, brightest: int) -> bool:
    """Returns whether a file with 16 bits and several channels uses less than half of their range.

    Its samples probably have 10 to 15 bits, of which the decoder keeps the upper 8 of 16.

    Args:
        content: A PNG file.
        brightest: Greatest decoded 8-bit value.
    """
    depth, colour_type = content[24], content[25]
    return depth == 16 and colour_type != 0 and 0 < brightest < 128
