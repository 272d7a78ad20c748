"""Pixels -> what a model sees. The one resize, used by training and serving alike; no TensorFlow.

How a model wants its input is data (InputSpec) and stands in its card, so that a bundle keeps its
own preprocessing whatever later versions of this package train with.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# Borders are looked for on a copy of at most this many pixels a side: fine enough, and as quick
# for a full-size X-ray as for a small one.
TRIM_SIDE = 512
# A line of pixels belongs to the border while its grey values spread (5th to 95th percentile) less
# than this, and their mean is as close as this to the outermost line's.
TRIM_TOLERANCE = 12
# At most this part of the picture is cut from each side.
TRIM_LIMIT = 1 / 3
# A picture whose grey values span less, on a copy of FLAT_SIDE pixels, shows nothing; the faintest of
# 927 published X-rays spans 94.
FLAT_SIDE, FLAT_SPAN = 64, 48


@dataclass(frozen=True)
class InputSpec:
    """What a model expects.

    size: the square input's side, in pixels.
    channels: "grey" (luminance, repeated three times) or "rgb".
    fit: "letterbox" keeps the proportions and pads with black; "stretch" does not.
    trim: uniform borders are cut off first, so that a model cannot learn from them.
    contrast: grey values are stretched so that the 1st and 99th percentiles become 0 and 255.
    scale: the range of the values, "0..1" or "-1..1".
    """

    size: int
    channels: Literal["grey", "rgb"] = "grey"
    fit: Literal["letterbox", "stretch"] = "letterbox"
    trim: bool = False
    contrast: bool = False
    scale: Literal["0..1", "-1..1"] = "-1..1"

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Placement:
    """Which part of the picture stands where in the input; boxes are (left, top, right, bottom)."""

    source: Box
    target: Box


def prepare(
    pixels: NDArray[np.uint8], spec: InputSpec, placement: Placement | None = None
) -> NDArray[np.float32]:
    """Returns the model input of one picture: float32 (size, size, 3).

    Args:
        pixels: uint8, (H, W) or (H, W, 3), as from ml.data.images.
        placement: what `place` returned for them, if it was asked already.
    """
    return scale(fit(pixels, spec, placement), spec)


def fit(pixels: NDArray[np.uint8], spec: InputSpec, placement: Placement | None = None) -> NDArray[np.uint8]:
    """Returns the picture trimmed and resized: uint8 (size, size, 1) if grey, else (size, size, 3)."""
    image = Image.fromarray(pixels).convert("L" if spec.channels == "grey" else "RGB")
    placement = placement or place(pixels, spec)
    left, top, right, bottom = placement.target
    # Pillow's filters widen when they shrink a picture, so this is antialiased.
    content = np.asarray(
        image.resize((right - left, bottom - top), Image.Resampling.BICUBIC, box=placement.source)
    )
    if spec.contrast:
        content = _stretch_contrast(content)
    canvas = np.zeros((spec.size, spec.size, len(image.getbands())), np.uint8)
    canvas[top:bottom, left:right] = content.reshape(bottom - top, right - left, -1)
    return canvas


def scale(fitted: NDArray[np.uint8], spec: InputSpec) -> NDArray[np.float32]:
    """Returns fitted pictures, uint8 (..., size, size, 1 or 3), as float32 (..., size, size, 3) input."""
    values = fitted.astype(np.float32)
    values = values / np.float32(127.5) - np.float32(1) if spec.scale == "-1..1" else values / np.float32(255)
    return np.repeat(values, 3, axis=-1) if fitted.shape[-1] == 1 else values


def place(pixels: NDArray[np.uint8], spec: InputSpec) -> Placement:
    """Returns where `fit` puts which part of the picture."""
    height, width = pixels.shape[:2]
    source = _content_box(pixels) if spec.trim else (0, 0, width, height)
    if spec.fit == "stretch":
        return Placement(source, (0, 0, spec.size, spec.size))
    width, height = source[2] - source[0], source[3] - source[1]
    factor = spec.size / max(width, height)
    fitted_width, fitted_height = max(1, round(width * factor)), max(1, round(height * factor))
    left, top = (spec.size - fitted_width) // 2, (spec.size - fitted_height) // 2
    return Placement(source, (left, top, left + fitted_width, top + fitted_height))


def is_flat(pixels: NDArray[np.uint8]) -> bool:
    """Returns whether a picture is so uniform that it shows nothing."""
    image = Image.fromarray(pixels).convert("L")
    image.thumbnail((FLAT_SIDE, FLAT_SIDE), Image.Resampling.BOX)
    low, high = image.getextrema()
    return bool(high - low < FLAT_SPAN)  # type: ignore[operator]


def _content_box(pixels: NDArray[np.uint8]) -> Box:
    """Returns the picture without its uniform borders."""
    height, width = pixels.shape[:2]
    image = Image.fromarray(pixels).convert("L")
    image.thumbnail((TRIM_SIDE, TRIM_SIDE), Image.Resampling.BOX)
    small = np.asarray(image)
    top, bottom = _content_range(small)
    left, right = _content_range(small[top:bottom].T)
    # Once the sides are off, a top or bottom border may show that reached only across the content.
    more_top, more_bottom = _content_range(small[top:bottom, left:right])
    top, bottom = top + more_top, top + more_bottom
    across, down = width / small.shape[1], height / small.shape[0]
    return round(left * across), round(top * down), round(right * across), round(bottom * down)


def _content_range(lines: NDArray[np.uint8]) -> tuple[int, int]:
    # A stable sort of 8-bit numbers is a radix sort: eight times faster than the default, which took longer than
    # the network, and that is several times faster than np.percentile.
    ordered = np.sort(lines, axis=1, kind="stable").astype(np.float32)
    last = lines.shape[1] - 1
    spread = ordered[:, round(0.95 * last)] - ordered[:, round(0.05 * last)]
    flat, mean = spread < TRIM_TOLERANCE, ordered.mean(axis=1)
    limit = int(len(lines) * TRIM_LIMIT)
    border_before = flat & (np.abs(mean - mean[0]) < TRIM_TOLERANCE)
    border_after = (flat & (np.abs(mean - mean[-1]) < TRIM_TOLERANCE))[::-1]
    return _leading(border_before, limit), len(lines) - _leading(border_after, limit)


def _leading(flags: NDArray[np.bool_], limit: int) -> int:
    """Returns how many flags are set before the first that is not, at most `limit`."""
    return min(int(np.argmin(flags)) if not flags.all() else len(flags), limit)


def _stretch_contrast(content: NDArray[np.uint8]) -> NDArray[np.uint8]:
    low, high = np.percentile(content, (1, 99))
    stretched = (content.astype(np.float32) - low) * (255 / max(high - low, 1))
    rounded: NDArray[np.uint8] = np.rint(stretched.clip(0, 255)).astype(np.uint8)
    return rounded
