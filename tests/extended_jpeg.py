"""Encodes JPEG Extended streams of 12 bits (ITU-T T.81, process 4), which no library in use here writes."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

SIDE = 8
ZIGZAG = sorted(
    np.ndindex(SIDE, SIDE), key=lambda at: (sum(at), at[0] if sum(at) % 2 else at[1])
)  # T.81 figure A.6
COSINES = np.array(
    [
        [
            np.sqrt((1 if row else 0.5) / 4) * np.cos((2 * column + 1) * row * np.pi / 16)
            for column in range(SIDE)
        ]
        for row in range(SIDE)
    ]
)
# Huffman tables in which all codes have the same length; the code of a symbol is the symbol.
DC_LENGTH, DC_SYMBOLS = 5, bytes(range(16))
AC_LENGTH, AC_SYMBOLS = 9, bytes(range(255))


def encode(pixels: NDArray[Any], precision: int = 12) -> bytes:
    """Returns a stream of greyscale pixels whose sides are multiples of 8; quantisation changes nothing."""
    height, width = pixels.shape
    bits = "".join(_bits(pixels.astype(float) - 2 ** (precision - 1)))
    bits += "1" * (-len(bits) % 8)
    coded = int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\0")
    return (
        b"\xff\xd8"
        + _segment(0xDB, b"\0" + b"\1" * SIDE**2)
        + _segment(0xC1, struct.pack(">B2H4B", precision, height, width, 1, 1, 0x11, 0))
        + _segment(0xC4, _table(0x00, DC_LENGTH, DC_SYMBOLS) + _table(0x10, AC_LENGTH, AC_SYMBOLS))
        + _segment(0xDA, bytes([1, 1, 0, 0, 63, 0]))
        + coded
        + b"\xff\xd9"
    )


def _segment(marker: int, data: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data


def _table(destination: int, length: int, symbols: bytes) -> bytes:
    counts = bytes(len(symbols) if number == length else 0 for number in range(1, 17))
    return bytes([destination]) + counts + symbols


def _bits(pixels: NDArray[np.float64]) -> Iterator[str]:
    last = 0
    for top in range(0, pixels.shape[0], SIDE):
        for left in range(0, pixels.shape[1], SIDE):
            block = COSINES @ pixels[top : top + SIDE, left : left + SIDE] @ COSINES.T
            values = [round(block[at]) for at in ZIGZAG]
            yield _coded(DC_LENGTH, 0, values[0] - last)
            last = values[0]
            yield from _coded_rest(values[1:])


def _coded_rest(values: list[int]) -> Iterator[str]:
    run = 0
    for value in values:
        if value == 0:
            run += 1
            continue
        while run > 15:
            yield f"{0xF0:0{AC_LENGTH}b}"
            run -= 16
        yield _coded(AC_LENGTH, run, value)
        run = 0
    if run:
        yield f"{0:0{AC_LENGTH}b}"


def _coded(length: int, run: int, value: int) -> str:
    """Returns the code of a run of zeros and of a value's size, and the value (T.81 F.1.2)."""
    size = abs(value).bit_length()
    magnitude = value if value > 0 else value + 2**size - 1
    return f"{run << 4 | size:0{length}b}" + (f"{magnitude:0{size}b}" if size else "")
