"""Preprocesses images for a model, in training and in serving alike, without TensorFlow.

The preprocessing of a model is data (InputSpec) in its card, so later versions of this package preprocess images for it
in the same way.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# Borders are detected on a copy whose longer side has at most this many pixels, for speed.
TRIM_SIDE = 512
# A line of pixels belongs to the border if its grey values span less than this (5th to 95th percentile) and its mean
# differs by less than this from the mean of the outermost line.
TRIM_TOLERANCE = 12
# Maximum share of the image that is trimmed from each side.
TRIM_LIMIT = 1 / 3
# Lines that are compared with the outermost line at a time.
LINES_AT_A_TIME = 16
# An image is blank if its grey values span less than BLANK_SPAN on a copy of BLANK_SIDE pixels. The faintest of 927
# published X-rays spans 94.
BLANK_SIDE, BLANK_SPAN = 64, 48


@dataclass(frozen=True)
class InputSpec:
    """The preprocessing of a model. The field names are keys of a bundle's card.

    Attributes:
        size: Side of the square input in pixels.
        channels: "grey" (luminance, repeated three times) or "rgb".
        fit: "letterbox" keeps the aspect ratio and pads with black; "stretch" does not keep it.
        trim: Whether uniform borders are removed first, so that a model cannot learn from them.
        contrast: Whether the 1st and 99th percentiles of the grey values are stretched to 0 and 255.
        scale: Range of the values, "0..1" or "-1..1".
    """

    size: int
    channels: Literal["grey", "rgb"] = "grey"
    fit: Literal["letterbox", "stretch"] = "letterbox"
    trim: bool = False
    contrast: bool = False
    scale: Literal["0..1", "-1..1"] = "-1..1"

    def to_json(self) -> dict[str, Any]:
        """Returns the preprocessing as plain data for a bundle's card."""
        return asdict(self)


Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Placement:
    """Position of an image in the input of a model. Boxes are (left, top, right, bottom) in pixels.

    Attributes:
        source: The part of the image that is used.
        target: The position of that part in the input.
    """

    source: Box
    target: Box


@dataclass(frozen=True, eq=False)
class SourceImage:
    """An image that several models answer, with what they have in common, which is computed once.

    Attributes:
        pixels: uint8 (H, W) or (H, W, 3), as returned by ml.data.images.
    """

    pixels: NDArray[np.uint8]

    @cached_property
    def is_blank(self) -> bool:
        """Whether the image is so uniform that it shows nothing."""
        return is_blank(self.pixels)

    @cached_property
    def content_box(self) -> Box:
        """The box of the image without its uniform borders."""
        return _content_box(self.pixels)

    def placement(self, spec: InputSpec) -> Placement:
        """Returns where trim_and_resize places the image in the input of a model."""
        height, width = self.pixels.shape[:2]
        source = self.content_box if spec.trim else (0, 0, width, height)
        if spec.fit == "stretch":
            return Placement(source, (0, 0, spec.size, spec.size))
        width, height = source[2] - source[0], source[3] - source[1]
        factor = spec.size / max(width, height)
        fitted_width, fitted_height = max(1, round(width * factor)), max(1, round(height * factor))
        left, top = (spec.size - fitted_width) // 2, (spec.size - fitted_height) // 2
        return Placement(source, (left, top, left + fitted_width, top + fitted_height))


def preprocess(
    pixels: NDArray[np.uint8], spec: InputSpec, placement: Placement | None = None
) -> NDArray[np.float32]:
    """Returns the model input for one image.

    Args:
        pixels: uint8 (H, W) or (H, W, 3), as returned by ml.data.images.
        spec: Preprocessing of the model.
        placement: Result of find_placement, if known.

    Returns:
        float32 (size, size, 3).
    """
    return rescale(trim_and_resize(pixels, spec, placement), spec)


def trim_and_resize(
    pixels: NDArray[np.uint8], spec: InputSpec, placement: Placement | None = None
) -> NDArray[np.uint8]:
    """Trims and resizes one image, and stretches its contrast if the spec says so.

    Args:
        pixels: uint8 (H, W) or (H, W, 3).
        spec: Preprocessing of the model.
        placement: Result of find_placement, if known.

    Returns:
        uint8 (size, size, 1) for spec.channels "grey", otherwise (size, size, 3).
    """
    image = _to_image(pixels, "L" if spec.channels == "grey" else "RGB")
    placement = placement or find_placement(pixels, spec)
    left, top, right, bottom = placement.target
    # Pillow adapts the filter to the scale, so downsampling is antialiased.
    content = np.asarray(
        image.resize((right - left, bottom - top), Image.Resampling.BICUBIC, box=placement.source)
    )
    if spec.contrast:
        content = _stretch_contrast(content)
    canvas = np.zeros((spec.size, spec.size, len(image.getbands())), np.uint8)
    canvas[top:bottom, left:right] = content.reshape(bottom - top, right - left, -1)
    return canvas


def rescale(resized: NDArray[np.uint8], spec: InputSpec) -> NDArray[np.float32]:
    """Rescales the values of resized images to spec.scale and repeats a single channel.

    Args:
        resized: uint8 (..., size, size, 1 or 3).
        spec: Preprocessing of the model.

    Returns:
        float32 (..., size, size, 3).
    """
    values = np.arange(256, dtype=np.float32)
    values = values / np.float32(127.5) - np.float32(1) if spec.scale == "-1..1" else values / np.float32(255)
    if resized.shape[-1] == 3:
        return values[resized]
    # Each row of the table is one pixel, so that the channels are repeated in the same pass.
    table = np.repeat(values[:, np.newaxis], 3, axis=1)
    return np.take(table, resized[..., 0], axis=0)


def find_placement(pixels: NDArray[np.uint8], spec: InputSpec) -> Placement:
    """Returns where trim_and_resize places an image in the input.

    Args:
        pixels: uint8 (H, W) or (H, W, 3).
        spec: Preprocessing of the model.
    """
    return SourceImage(pixels).placement(spec)


def is_blank(pixels: NDArray[np.uint8]) -> bool:
    """Returns whether an image is so uniform that it shows nothing.

    Args:
        pixels: uint8 (H, W) or (H, W, 3).
    """
    image = _to_image(pixels, "L")
    image.thumbnail((BLANK_SIDE, BLANK_SIDE), Image.Resampling.BOX)
    low, high = image.getextrema()
    return bool(high - low < BLANK_SPAN)  # type: ignore[operator]


def _to_image(pixels: NDArray[np.uint8], mode: Literal["L", "RGB"]) -> Image.Image:
    image = Image.fromarray(pixels)
    return image if image.mode == mode else image.convert(mode)


def _content_box(pixels: NDArray[np.uint8]) -> Box:
    """Returns the box of the image without its uniform borders."""
    height, width = pixels.shape[:2]
    image = _to_image(pixels, "L")
    image.thumbnail((TRIM_SIDE, TRIM_SIDE), Image.Resampling.BOX)
    small = np.asarray(image)
    top, bottom = _content_range(small)
    left, right = _content_range(small[top:bottom].T)
    # A top or bottom border that spans only the content is detected after the sides are trimmed.
    more_top, more_bottom = _content_range(small[top:bottom, left:right])
    top, bottom = top + more_top, top + more_bottom
    across, down = width / small.shape[1], height / small.shape[0]
    return round(left * across), round(top * down), round(right * across), round(bottom * down)


def _content_range(lines: NDArray[np.uint8]) -> tuple[int, int]:
    return _border(lines), len(lines) - _border(lines[::-1])


def _border(lines: NDArray[np.uint8]) -> int:
    """Returns the number of leading lines that belong to the border, at most a share of TRIM_LIMIT."""
    limit = int(len(lines) * TRIM_LIMIT)
    outermost, last = lines[0].mean(dtype=np.float32), lines.shape[1] - 1
    # Few images have borders, so most lines need not be sorted.
    for start in range(0, limit, LINES_AT_A_TIME):
        # NumPy's stable sort of 8-bit integers is a radix sort, eight times faster than the default sort.
        ordered = np.sort(lines[start : min(start + LINES_AT_A_TIME, limit)], axis=1, kind="stable")
        ordered = ordered.astype(np.float32)
        spread = ordered[:, round(0.95 * last)] - ordered[:, round(0.05 * last)]
        is_border = (spread < TRIM_TOLERANCE) & (np.abs(ordered.mean(axis=1) - outermost) < TRIM_TOLERANCE)
        if not is_border.all():
            return start + int(np.argmin(is_border))
    return limit


def _stretch_contrast(content: NDArray[np.uint8]) -> NDArray[np.uint8]:
    low, high = _percentiles(content, (0.01, 0.99))
    table = (np.arange(256, dtype=np.float32) - low) * (255 / max(high - low, 1))
    stretched: NDArray[np.uint8] = np.rint(table.clip(0, 255)).astype(np.uint8)[content]
    return stretched


def _percentiles(content: NDArray[np.uint8], shares: tuple[float, ...]) -> NDArray[np.float64]:
    """Returns the same as np.percentile, which is ten times slower, because it does not count values."""
    cumulative = np.cumsum(np.bincount(content.ravel(), minlength=256))
    places = np.asarray(shares) * (content.size - 1)
    before = np.floor(places)
    lower, upper = (
        np.searchsorted(cumulative, np.minimum(place, content.size - 1), side="right")
        for place in (before, before + 1)
    )
    return np.asarray(lower + (upper - lower) * (places - before))
