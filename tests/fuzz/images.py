"""JPEG, PNG and DICOM files: pixels within the limits, or one sentence."""

from __future__ import annotations

import numpy as np

from ml.data import decoder_process
from ml.data.image_limits import MAX_PIXELS, MIN_SIDE, TOO_MUCH_MEMORY, ImageRefused
from ml.data.images import read_image
from tests.fuzz import seeds
from tests.fuzz.campaign import Campaign
from tests.fuzz.mutations import mutate
from tests.fuzz.watch import is_error_text


def read(content: bytes) -> tuple[str, str]:
    try:
        pixels = read_image(content).pixels
    except ImageRefused as refused:
        return ("refused" if is_error_text(str(refused)) else "wrong"), str(refused)
    except MemoryError:
        return "refused", TOO_MUCH_MEMORY
    height, width, *colours = pixels.shape
    is_fine = (
        pixels.dtype == np.uint8
        and min(height, width) >= MIN_SIDE
        and height * width <= MAX_PIXELS
        and colours in ([], [3])
    )
    return ("read" if is_fine else "wrong"), f"{pixels.dtype} {pixels.shape}"


IMAGES = Campaign(seeds.images, mutate, read, decoder_process.apply_resource_limits)
