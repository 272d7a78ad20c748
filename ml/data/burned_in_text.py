"""Finds text that is drawn into X-rays, such as a patient's name, without reading it.

Drawn letters are small shapes of one brightness with sharp edges, of similar height and beside each other. Markers of
the side (L, R) and of the projection (AP, LAT) have fewer letters and are not reported.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ml.data.connected_components import Components, find_components

# Images are scaled to this side; letters of 40 pixels on a detector of 3,000 are 11 pixels high then. In small images,
# letters touch each other until these are enlarged.
SIDE = 800
MAX_ENLARGEMENT = 2
# Strokes are thinner than this, so that a morphological opening removes them.
MAX_STROKE = 15
# Least differences of a letter from its surroundings, in grey levels. Letters that touch each other at the lower one
# are apart at a higher one.
CONTRASTS = (50, 100, 150)
MIN_HEIGHT, MAX_HEIGHT = 6, 70
MIN_LETTERS = 5
# More shapes than this are noise; comparing all of them would take seconds.
MAX_SHAPES = 3000


def shows_text(pixels: NDArray[np.uint8]) -> bool:
    """Returns whether a line of at least five letters or digits is drawn into the image.

    Args:
        pixels: uint8 (H, W) or (H, W, 3).
    """
    grey = _scaled_grey(pixels)
    for side in (grey, 255 - grey):
        relief = side - _extreme(_extreme(side, np.minimum), np.maximum)
        if any(_has_line(_letters(relief >= contrast)) for contrast in CONTRASTS):
            return True
    return False


def _scaled_grey(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    image = Image.fromarray(pixels).convert("L")
    scale = min(SIDE / max(image.size), MAX_ENLARGEMENT)
    width, height = (max(1, round(side * scale)) for side in image.size)
    method = Image.Resampling.BICUBIC if scale > 1 else Image.Resampling.BOX
    return np.asarray(image.resize((width, height), method))


def _letters(mask: NDArray[np.bool_]) -> Components:
    """Returns the shapes that may be letters."""
    found = find_components(mask)
    height, width = found.height, found.width
    fill = found.area / (height * width)
    return found.select(
        (height >= MIN_HEIGHT)
        & (height <= MAX_HEIGHT)
        & (width <= 1.6 * height)
        & (width >= 0.08 * height)
        & (fill >= 0.15)
        & (fill <= 0.98)
    )


def _extreme(grey: NDArray[np.uint8], choose: np.ufunc) -> NDArray[np.uint8]:
    """Returns the lowest or highest value of the square of MAX_STROKE pixels around each pixel."""
    for axis in (0, 1):
        padding = [(0, 0), (0, 0)]
        padding[axis] = (MAX_STROKE // 2, MAX_STROKE // 2)
        grey = np.pad(grey, padding, mode="edge")
        reach = 1
        while reach < MAX_STROKE:
            step = min(reach, MAX_STROKE - reach)
            grey = choose(grey[:-step], grey[step:]) if axis == 0 else choose(grey[:, :-step], grey[:, step:])
            reach += step
    return grey


def _has_line(letters: Components) -> bool:
    """Returns whether enough letters of similar height are beside each other."""
    if len(letters.left) > MAX_SHAPES:
        return False
    order = np.argsort(letters.left)
    letters = Components(
        *(getattr(letters, name)[order] for name in ("left", "top", "right", "bottom", "area"))
    )
    length = np.ones(len(letters.left), np.int64)
    for number in range(1, len(order)):
        height = letters.height[number]
        gap = letters.left[number] - letters.right[:number]
        is_before = (
            (gap > -0.25 * height)
            & (gap < 0.9 * height)
            & (np.abs(letters.bottom[:number] - letters.bottom[number]) <= 0.2 * height)
            & (np.abs(letters.height[:number] - height) <= 0.35 * height)
        )
        if is_before.any():
            length[number] += length[:number][is_before].max()
    return bool((length >= MIN_LETTERS).any())
