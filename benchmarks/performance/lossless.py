"""Measures lossless encodings of a stored X-ray."""

from __future__ import annotations

import io
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.tables import table
from ml.data.images import encode_png

Encoder = Callable[[NDArray[np.uint8]], bytes]


def _pillow(kind: str, **options: object) -> Encoder:
    def encode(pixels: NDArray[np.uint8]) -> bytes:
        content = io.BytesIO()
        Image.fromarray(pixels).save(content, kind, **options)
        return content.getvalue()

    return encode


ENCODERS: dict[str, Encoder] = {
    "**PNG, filter Up, run lengths** (stored)": encode_png,
    "PNG by Pillow, level 1": _pillow("PNG", compress_level=1),
    "PNG by Pillow, level 3": _pillow("PNG", compress_level=3),
    "PNG by Pillow, level 6": _pillow("PNG", compress_level=6),
    "WebP, fastest": _pillow("WEBP", lossless=True, quality=0, method=0),
    "JPEG 2000": _pillow("JPEG2000"),
    "TIFF, LZW": _pillow("TIFF", compression="tiff_lzw"),
    "TIFF, Zstandard": _pillow("TIFF", compression="zstd"),
    "no compression (PGM)": _pillow("PPM"),
}


def lossless_table(pixels: NDArray[np.uint8], rounds: int) -> str:
    """Returns the fastest processor times of all encodings, measured in turns, and the sizes of their files."""
    contents = {name: encode(pixels) for name, encode in ENCODERS.items()}
    writing: dict[str, list[float]] = {name: [] for name in ENCODERS}
    reading: dict[str, list[float]] = {name: [] for name in ENCODERS}
    for _ in range(rounds):
        for name, encode in ENCODERS.items():
            writing[name].append(_milliseconds(lambda encode=encode: encode(pixels)))  # type: ignore[misc]
            reading[name].append(_milliseconds(lambda name=name: _read(contents[name])))  # type: ignore[misc]
    rows = [
        [name, f"{min(writing[name]):.0f}", f"{min(reading[name]):.0f}", f"{len(content) / 1000:,.0f}"]
        for name, content in contents.items()
    ]
    return table(["", "ms to write", "ms to read", "kB"], rows)


def _milliseconds(do: Callable[[], object]) -> float:
    started = time.process_time()
    do()
    return 1000 * (time.process_time() - started)


def _read(content: bytes) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image)
