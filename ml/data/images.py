"""Reads JPEG, PNG and DICOM files as upright 8-bit pixels, and encodes pixels.

The format is detected by content, never by file name. Neither metadata (EXIF, DICOM attributes) nor the messages of a
decoder, which could quote it, leave this module, except for digests of patient and study. Untrusted files must be read
through ml.data.sandbox, because they can crash a decoder.
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
from PIL import Image, ImageChops, JpegImagePlugin, PngImagePlugin

from ml.data import jpeg, png
from ml.data.dicom_encoding import PREFIX_END, is_dicom
from ml.data.image_limits import (
    MAX_BYTES,
    MAX_PIXELS,
    MIN_SIDE,
    ImageRefused,
    check_length,
    check_scans,
    check_size,
)
from ml.data.lookup_tables import ROWS_PER_BLOCK, apply_lookup_table
from ml.data.png_encoding import encode_png

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
# Progressive JPEGs have about ten scans. Each scan costs a pass over all pixels, so a small file with many scans could
# keep a processor busy for hours.
MAX_JPEG_SCANS = 100
EXIF_ORIENTATION = 0x0112

# Transformations of (H, W, ...) pixels that undo each EXIF orientation (Exif 2.32, tag 0x0112).
UNDO_ORIENTATION: dict[int, Callable[[Pixels], Pixels]] = {
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
    """An upright image.

    Attributes:
        pixels: uint8 (H, W) for greyscale images, otherwise (H, W, 3) in RGB order.
        format: Format of the file.
        shows_text: Whether text is drawn into the image (ml.data.burned_in_text); False unless ml.data.sandbox has
            searched it for text.
        patient_digest: SHA-256 of the Patient ID of a DICOM file (ml.data.dicom_identifiers); empty if it has none.
        study_digest: SHA-256 of its Study Instance UID; empty if it has none.
    """

    pixels: Pixels
    format: Format
    shows_text: bool = False
    patient_digest: str = ""
    study_digest: str = ""

    @property
    def width(self) -> int:
        """Width in pixels."""
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        """Height in pixels."""
        return int(self.pixels.shape[0])


def read_image(source: Path | bytes | BinaryIO) -> DecodedImage:
    """Reads a JPEG, PNG or single-frame radiographic DICOM file.

    Samples of 16 bits are scaled to 8 bits, transparent pixels are composited on black, the EXIF orientation is
    applied, and DICOM values pass through the modality and VOI transformations (ml.data.dicom).

    Args:
        source: A path, the content of a file, or a seekable binary file, which is read from its start.

    Returns:
        The upright image; greyscale if its colour channels are equal.

    Raises:
        ImageRefused: The file cannot be used; str(error) is one sentence for the user.
        OSError: The path cannot be opened or read.
    """
    with open_source(source) as file:
        decoded = _decode(file)
    # The decoded size may differ from the size in the header.
    check_size(decoded.width, decoded.height)
    return decoded


@contextmanager
def open_source(source: Path | bytes | BinaryIO) -> Iterator[BinaryIO]:
    """Opens an image file for reading from its start.

    Args:
        source: A path, the content of a file, or a seekable binary file, which is left open.

    Raises:
        ImageRefused: The file is empty or larger than MAX_BYTES.
        OSError: The path cannot be opened.
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


def encode_thumbnail(pixels: Pixels, side: int = 320) -> bytes:
    """Encodes pixels as a JPEG thumbnail with the same aspect ratio.

    Args:
        pixels: uint8 (H, W) or (H, W, 3).
        side: Maximum length of the longer side in pixels.
    """
    image = Image.fromarray(pixels)
    image.thumbnail((side, side), reducing_gap=2.0)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def _decode(file: BinaryIO) -> DecodedImage:
    head = file.read(PREFIX_END)
    file.seek(0)
    if head.startswith(b"\xff\xd8\xff"):
        return DecodedImage(_read_with_pillow(file, "JPEG"), "jpeg")
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return DecodedImage(_read_with_pillow(file, "PNG"), "png")
    if is_dicom(head):
        # Imported here because web processes and prediction workers must not load DICOM decoders.
        from ml.data import dicom

        found = dicom.read_dicom(file)
        return DecodedImage(
            _drop_equal_channels(found.pixels),
            "dicom",
            patient_digest=found.identifiers.patient,
            study_digest=found.identifiers.study,
        )
    raise ImageRefused("The file is not a JPEG, PNG or DICOM image.")


def _read_with_pillow(file: BinaryIO, kind: Literal["JPEG", "PNG"]) -> Pixels:
    content = file.read()
    try:
        return _read_jpeg(content) if kind == "JPEG" else _read_png(content)
    except (ImageRefused, MemoryError):
        raise
    # Decoders raise almost any exception for an invalid file, with messages that may quote it.
    except Exception as error:
        if "truncated" in str(error).lower():
            raise ImageRefused(f"The {kind} file is cut off: its end is missing.") from None
        raise ImageRefused(f"The {kind} file is damaged and cannot be read.") from None


def _read_jpeg(content: bytes) -> Pixels:
    structure = jpeg.read_structure(content)
    if structure.num_scans > MAX_JPEG_SCANS:
        raise ImageRefused(f"The JPEG file has more than {MAX_JPEG_SCANS} scans, which is not supported.")
    if structure.width and structure.height:
        check_size(structure.width, structure.height)
        check_scans(structure.num_scans, structure.width, structure.height)
    try:
        if not structure.has_end:
            content = jpeg.add_missing_end(content, structure)
        # Image.open would treat the depth map that phones append to a JPEG as a second frame.
        return _upright_pixels(JpegImagePlugin.JpegImageFile(io.BytesIO(content)))
    except (ImageRefused, MemoryError):
        raise
    except jpeg.Incomplete:
        raise ImageRefused("The JPEG file is cut off: its end is missing.") from None
    except Exception:
        if structure.frame in jpeg.OTHER_COMPRESSIONS:
            name = jpeg.OTHER_COMPRESSIONS[structure.frame]
            raise ImageRefused(
                f"The file is compressed as {name}, which is only supported in DICOM files."
            ) from None
        if structure.precision > 8:
            raise ImageRefused(
                f"The JPEG file has {structure.precision} bits per sample, which is only supported in DICOM files."
            ) from None
        raise


def _read_png(content: bytes) -> Pixels:
    content = png.keep_used_chunks(content)
    # Image.open would warn about large images before they are refused here.
    pixels = _upright_pixels(PngImagePlugin.PngImageFile(io.BytesIO(content)))
    if png.is_dim_in_colour(content, int(pixels.max())):
        raise ImageRefused(
            "The PNG file has colour channels of 16 bits of which it uses less than half. "
            "Please upload it as a greyscale image."
        )
    return pixels


def _upright_pixels(image: Image.Image) -> Pixels:
    with image:
        check_size(image.width, image.height)
        if getattr(image, "n_frames", 1) > 1:
            raise ImageRefused("The image is animated. Please upload a single still image.")
        image.load()
        undo_orientation = _undo_orientation(image)
        pixels = _to_pixels(image)
    return np.ascontiguousarray(undo_orientation(pixels))


def _undo_orientation(image: Image.Image) -> Callable[[Pixels], Pixels]:
    # Image.getexif would also use the orientation in XMP data, which browsers ignore.
    exif = Image.Exif()
    try:
        exif.load(image.info["exif"])
        return UNDO_ORIENTATION[exif[EXIF_ORIENTATION]]
    # Images with missing or invalid EXIF data are used as they are.
    except Exception:
        return UNDO_ORIENTATION[1]


def _to_pixels(image: Image.Image) -> Pixels:
    if image.mode.startswith("I;16"):
        return _sixteen_to_eight(np.asarray(image))
    if image.mode in ("1", "L") and not image.has_transparency_data:
        return np.array(image if image.mode == "L" else image.convert("L"))
    if image.mode == "RGB" and not image.has_transparency_data and _has_equal_channels(image):
        return np.array(image.getchannel("R"))
    pixels = np.empty((image.height, image.width, 3), np.uint8)
    for top in range(0, image.height, ROWS_PER_BLOCK):
        rows = image.crop((0, top, image.width, min(top + ROWS_PER_BLOCK, image.height)))
        pixels[top : top + ROWS_PER_BLOCK] = np.asarray(_composite_on_black(rows).convert("RGB"))
    return _drop_equal_channels(pixels)


def _has_equal_channels(image: Image.Image) -> bool:
    red, green, blue = image.split()
    return all(ImageChops.difference(red, other).getbbox() is None for other in (green, blue))


def _sixteen_to_eight(samples: NDArray[np.uint16]) -> Pixels:
    """Scales 16-bit samples to 8 bits: 65535 becomes 255.

    If the upper bit is never used, the samples have fewer bits, such as the 12 of a detector. Their range is scaled
    to 0..255 then, as in a DICOM file without a window.
    """
    low, high = int(samples.min()), int(samples.max())
    if high >= 2**15 or high == low:
        low, high = 0, 2**16 - 1
    table = np.rint((np.arange(2**16) - low).clip(0, high - low) / (high - low) * 255).astype(np.uint8)
    return apply_lookup_table(table, samples)


def _composite_on_black(image: Image.Image) -> Image.Image:
    if not image.has_transparency_data:
        return image
    black = Image.new("RGBA", image.size, (0, 0, 0, 255))
    return Image.alpha_composite(black, image.convert("RGBA"))


def _drop_equal_channels(pixels: Pixels) -> Pixels:
    if pixels.ndim == 2:
        return pixels
    red, green, blue = pixels[..., 0], pixels[..., 1], pixels[..., 2]
    if np.array_equal(red, green) and np.array_equal(green, blue):
        return red.copy()
    return pixels
