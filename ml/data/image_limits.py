"""Limits on image files, and the exception for images that are refused."""

from __future__ import annotations

MAX_BYTES = 200 * 1024**2
# A 17 x 17 inch detector with 0.1 mm pixels has 18 million pixels; phone cameras have up to 50 million.
MAX_PIXELS = 64_000_000
# Smaller images show no fracture; the smallest published X-ray is 58 pixels wide.
MIN_SIDE = 32
# Scans times pixels of a JPEG file. A progressive file has about ten scans, and each costs a pass over all pixels:
# 0.7 s of processor time for 1,000 million.
MAX_SCANNED_PIXELS = 12 * MAX_PIXELS
# Refusals for files that exceed the limits of the decoder process or crash it.
TOO_MUCH_MEMORY = "The file needs too much memory to read."
TOO_SLOW = "The file takes too long to read."
CRASHES = "The decoder crashed while reading the file, which may be damaged."


class ImageRefused(ValueError):
    """The image cannot be used. str(error) is one sentence for the user and contains no patient data."""


def check_length(length: int) -> None:
    """Checks the size of a file in bytes.

    Raises:
        ImageRefused: The file is empty or larger than MAX_BYTES.
    """
    if length == 0:
        raise ImageRefused("The file is empty.")
    if length > MAX_BYTES:
        raise ImageRefused(f"The file is larger than {MAX_BYTES // 1024**2} MB.")


def check_size(width: int, height: int) -> None:
    """Checks the size of an image in pixels, as declared by its header or as decoded.

    Raises:
        ImageRefused: The image has more than MAX_PIXELS pixels, or a side shorter than MIN_SIDE.
    """
    if width * height > MAX_PIXELS:
        raise ImageRefused(
            f"The image is {width} x {height} pixels; at most {MAX_PIXELS // 10**6} million pixels are accepted."
        )
    if min(width, height) < MIN_SIDE:
        raise ImageRefused(
            f"The image is {width} x {height} pixels; each side must be at least {MIN_SIDE} pixels."
        )


def check_scans(number: int, width: int, height: int) -> None:
    """Checks how often a decoder of a JPEG file passes over its pixels.

    Raises:
        ImageRefused: The scans together have more than MAX_SCANNED_PIXELS pixels.
    """
    if number * width * height > MAX_SCANNED_PIXELS:
        raise ImageRefused(
            f"The JPEG file has too many scans for its size: {number} scans of {width} x {height} pixels."
        )
