"""Bytes of a JPEG, PNG or DICOM file -> upright 8-bit pixels. Every limit and every refusal is here.

A file's kind is told by its content, never by its name. Nothing but pixels leaves this module: no
EXIF, no DICOM header, and no error text that could quote one.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, JpegImagePlugin, PngImagePlugin

from ml import dicom
from ml.image_limits import MAX_BYTES, MAX_PIXELS, MIN_SIDE, ImageRefused, check_size

__all__ = [
    "MAX_BYTES",
    "MAX_PIXELS",
    "MIN_SIDE",
    "DecodedImage",
    "ImageRefused",
    "encode_png",
    "encode_thumbnail",
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
EXIF_ORIENTATION = 0x0112
# What undoes each EXIF orientation (Exif 2.32, tag 0x0112).
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
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
    with _open(source) as file:
        size = file.seek(0, io.SEEK_END)
        if size == 0:
            raise ImageRefused("The file is empty.")
        if size > MAX_BYTES:
            raise ImageRefused(f"The file is larger than {MAX_BYTES // 1024**2} MB.")
        file.seek(0)
        head = file.read(dicom.MAGIC_END)
        file.seek(0)
        if head.startswith(b"\xff\xd8\xff"):
            return DecodedImage(_read_with_pillow(file, "JPEG"), "jpeg")
        if head.startswith(b"\x89PNG\r\n\x1a\n"):
            return DecodedImage(_read_with_pillow(file, "PNG"), "png")
        if dicom.is_dicom(head):
            return DecodedImage(_grey_if_colourless(dicom.read_pixels(file)), "dicom")
        raise ImageRefused("The file is not a JPEG, PNG or DICOM image.")


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


@contextmanager
def _open(source: Path | bytes | BinaryIO) -> Iterator[BinaryIO]:
    if isinstance(source, bytes):
        yield io.BytesIO(source)
    elif isinstance(source, Path):
        with source.open("rb") as file:
            yield file
    else:
        yield source


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
            return _to_pixels(_turned_upright(image))
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


def _turned_upright(image: Image.Image) -> Image.Image:
    try:
        orientation = image.getexif().get(EXIF_ORIENTATION)
    # A picture is no worse for an unreadable EXIF block.
    except Exception:
        return image
    transpose = UPRIGHT.get(orientation) if isinstance(orientation, int) else None
    return image if transpose is None else image.transpose(transpose)


def _to_pixels(image: Image.Image) -> Pixels:
    if image.mode.startswith("I;16"):
        return np.take(SIXTEEN_TO_EIGHT, np.asarray(image))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        black = Image.new("RGBA", image.size, (0, 0, 0, 255))
        image = Image.alpha_composite(black, image)
    if image.mode in ("1", "L"):
        return np.array(image.convert("L"))
    return _grey_if_colourless(np.array(image.convert("RGB")))


def _grey_if_colourless(pixels: Pixels) -> Pixels:
    if pixels.ndim == 2:
        return pixels
    red, green, blue = pixels[..., 0], pixels[..., 1], pixels[..., 2]
    if np.array_equal(red, green) and np.array_equal(green, blue):
        return red.copy()
    return pixels
