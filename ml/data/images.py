"""Bytes of a JPEG, PNG or DICOM file -> upright 8-bit pixels. Every limit and every refusal is here.

A file's kind is told by its content, never by its name. Nothing but pixels leaves this module: no
EXIF, no DICOM header, and no error text that could quote one. A file that nobody vouches for goes
through ml.data.quarantine, because a hostile one can crash a decoder and the process that it is part of.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, JpegImagePlugin, PngImagePlugin

from ml.data.image_limits import MAX_BYTES, MAX_PIXELS, MIN_SIDE, ImageRefused, check_length, check_size
from ml.data.lookup import ROWS, look_up

__all__ = [
    "MAX_BYTES",
    "MAX_PIXELS",
    "MIN_SIDE",
    "DecodedImage",
    "ImageRefused",
    "encode_png",
    "encode_thumbnail",
    "is_dicom",
    "read_image",
]

Pixels = NDArray[np.uint8]
Format = Literal["jpeg", "png", "dicom"]
# Real progressive JPEGs hold about ten scans; each one more costs a pass over all pixels, so a
# small file could keep a processor busy for hours (the "progressive JPEG" attack on libjpeg).
# Inside compressed data FF is always followed by 00 or a restart marker, so counting finds scans.
MAX_JPEG_SCANS = 100
JPEG_SCAN = b"\xff\xda"
PNG_END = b"IEND\xae\x42\x60\x82"
# 65535 becomes 255: a 16-bit sample scaled, not clipped.
SIXTEEN_TO_EIGHT: Pixels = np.rint(np.arange(2**16) / 257).astype(np.uint8)
DICOM_MARK_START, DICOM_MARK_END = 128, 132
EXIF_ORIENTATION = 0x0112

# What undoes each EXIF orientation (Exif 2.32, tag 0x0112), on (H, W, ...) pixels.
UPRIGHT: dict[int, Callable[[Pixels], Pixels]] = {
    1: lambda pixels: pixels,
    2: np.fliplr,
    3: lambda pixels: np.rot90(pixels, 2),
    4: np.flipud,
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: np.rot90(pixels, 3),
    7: lambda pixels: np.rot90(pixels, 2).swapaxes(0, 1),
    8: np.rot90,
}


@dataclass(frozen=True, eq=False)
class DecodedImage:
    """An upright picture: pixels are uint8, (H, W) if grey, else (H, W, 3) in RGB order."""

    pixels: Pixels
    format: Format

    @property
    def width(self) -> int:
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        return int(self.pixels.shape[0])


def read_image(source: Path | bytes | BinaryIO) -> DecodedImage:
    """Reads a JPEG, PNG or single-frame radiographic DICOM file.

    Args:
        source: a path, a file's bytes, or a seekable binary file, which is read from its start.

    Returns:
        The upright picture; grey (H, W) if its colour channels are equal. 16-bit samples are scaled
        to 8 bits, transparency is laid on black (what an X-ray shows where nothing is), EXIF
        rotation is undone, and DICOM values go through the modality and VOI transformations.

    Raises:
        ImageRefused: the file cannot be used; str(error) says why in one sentence.
        OSError: the path cannot be opened or read.
    """
    with open_source(source) as file:
        decoded = _decode(file)
    # What a decoder made of the file, whatever the file's header had claimed.
    check_size(decoded.width, decoded.height)
    return decoded


@contextmanager
def open_source(source: Path | bytes | BinaryIO) -> Iterator[BinaryIO]:
    """Opens what read_image takes, at its start.

    Raises:
        ImageRefused: it is empty, or larger than MAX_BYTES.
    """
    if isinstance(source, bytes):
        file: BinaryIO = io.BytesIO(source)
    else:
        file = source.open("rb") if isinstance(source, Path) else source
    try:
        check_length(file.seek(0, io.SEEK_END))
        file.seek(0)
        yield file
    finally:
        if file is not source:
            file.close()


def is_dicom(head: bytes) -> bool:
    """Returns whether a file that begins with these bytes, 132 or more, is a DICOM file (PS3.10 7.1)."""
    return head[DICOM_MARK_START:DICOM_MARK_END] == b"DICM"


def encode_png(pixels: Pixels) -> bytes:
    """Returns uint8 pixels, (H, W) or (H, W, 3), as a PNG that read_image turns into the same pixels."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=3)
    return buffer.getvalue()


def encode_thumbnail(pixels: Pixels, side: int = 320) -> bytes:
    """Returns a JPEG of the same proportions whose longer side is at most `side` pixels."""
    image = Image.fromarray(pixels)
    image.thumbnail((side, side), reducing_gap=2.0)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def _decode(file: BinaryIO) -> DecodedImage:
    head = file.read(DICOM_MARK_END)
    file.seek(0)
    if head.startswith(b"\xff\xd8\xff"):
        return DecodedImage(_read_with_pillow(file, "JPEG"), "jpeg")
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return DecodedImage(_read_with_pillow(file, "PNG"), "png")
    if is_dicom(head):
        # Not at the top: the web process never loads what reads DICOM, nor does a prediction worker.
        from ml.data import dicom

        return DecodedImage(_grey_if_colourless(dicom.read_pixels(file)), "dicom")
    raise ImageRefused("The file is not a JPEG, PNG or DICOM image.")


def _read_with_pillow(file: BinaryIO, kind: Literal["JPEG", "PNG"]) -> Pixels:
    if kind == "JPEG" and _count(file, JPEG_SCAN) > MAX_JPEG_SCANS:
        raise ImageRefused("The JPEG file is built in a way that real pictures are not.")
    if kind == "PNG" and not _count(file, PNG_END):
        raise ImageRefused("The PNG file is cut off: its end is missing.")
    try:
        with _open_with_pillow(file, kind) as image:
            check_size(image.width, image.height)
            if kind == "PNG" and getattr(image, "n_frames", 1) > 1:
                raise ImageRefused("The picture is animated; one still picture is needed.")
            image.load()
            upright = _what_turns_upright(image)
            pixels = _to_pixels(image)
        return np.ascontiguousarray(upright(pixels))
    except (ImageRefused, MemoryError):
        raise
    # A hostile file can make a decoder raise nearly anything; the original text could quote it.
    except Exception as error:
        if "truncated" in str(error).lower():
            raise ImageRefused(f"The {kind} file is cut off: its end is missing.") from None
        raise ImageRefused(f"The {kind} file is damaged and cannot be read.") from None


def _open_with_pillow(file: BinaryIO, kind: Literal["JPEG", "PNG"]) -> Image.Image:
    # The plugins themselves, not Image.open: it warns before our own limit can speak, and would
    # take a phone's JPEG with a depth map behind the picture for an animation.
    if kind == "JPEG":
        return JpegImagePlugin.JpegImageFile(file)
    return PngImagePlugin.PngImageFile(file)


def _count(file: BinaryIO, mark: bytes) -> int:
    found, last = 0, b""
    while block := file.read(1024**2):
        found += (last + block).count(mark)
        last = block[-(len(mark) - 1) :]
    file.seek(0)
    return found


def _what_turns_upright(image: Image.Image) -> Callable[[Pixels], Pixels]:
    try:
        return UPRIGHT[image.getexif()[EXIF_ORIENTATION]]
    # A picture is no worse for an EXIF block that is missing or cannot be read.
    except Exception:
        return UPRIGHT[1]


def _to_pixels(image: Image.Image) -> Pixels:
    if image.mode.startswith("I;16"):
        return look_up(SIXTEEN_TO_EIGHT, np.asarray(image))
    if image.mode in ("1", "L") and not image.has_transparency_data:
        return np.array(image.convert("L"))
    pixels = np.empty((image.height, image.width, 3), np.uint8)
    for top in range(0, image.height, ROWS):
        rows = image.crop((0, top, image.width, min(top + ROWS, image.height)))
        pixels[top : top + ROWS] = np.asarray(_on_black(rows).convert("RGB"))
    return _grey_if_colourless(pixels)


def _on_black(image: Image.Image) -> Image.Image:
    if not image.has_transparency_data:
        return image
    black = Image.new("RGBA", image.size, (0, 0, 0, 255))
    return Image.alpha_composite(black, image.convert("RGBA"))


def _grey_if_colourless(pixels: Pixels) -> Pixels:
    if pixels.ndim == 2:
        return pixels
    red, green, blue = pixels[..., 0], pixels[..., 1], pixels[..., 2]
    if np.array_equal(red, green) and np.array_equal(green, blue):
        return red.copy()
    return pixels
