"""How large or small a picture may be, and the one error for every picture that is turned away."""

from __future__ import annotations

MAX_BYTES = 200 * 1024**2
# A 17 x 17 inch detector at 0.1 mm has 18 million pixels, a phone's camera up to 50 million.
MAX_PIXELS = 64_000_000
# Below this nothing of a fracture is left; the smallest published X-ray is 58 pixels wide.
MIN_SIDE = 32
# What a file does to the process that reads it.
TOO_MUCH_MEMORY = "The file needs more memory than a real picture does."
TOO_SLOW = "The file takes longer to read than a real picture does."
CRASHES = "The file is so damaged that the decoder crashed on it."


class ImageRefused(ValueError):
    """The picture cannot be used; str(error) is one sentence for the person, without patient data."""


def check_length(length: int) -> None:
    """Checks how many bytes a file has.

    Raises:
        ImageRefused: it is empty or too large.
    """
    if length == 0:
        raise ImageRefused("The file is empty.")
    if length > MAX_BYTES:
        raise ImageRefused(f"The file is larger than {MAX_BYTES // 1024**2} MB.")


def check_size(width: int, height: int) -> None:
    """Checks the size that a file's header claims, before anything is decoded.

    Raises:
        ImageRefused: the picture has too many pixels or too few.
    """
    if width * height > MAX_PIXELS:
        raise ImageRefused(
            f"The picture is {width} x {height} pixels; at most {MAX_PIXELS // 10**6} million fit."
        )
    if min(width, height) < MIN_SIDE:
        raise ImageRefused(f"The picture is {width} x {height} pixels; each side needs at least {MIN_SIDE}.")
