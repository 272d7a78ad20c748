"""The signature of an image by which copies are found: perceptual hashes and corner descriptors.

Both are computed from the grey picture without its uniform borders, so that a border, a tint, another
size or another compression changes little.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Grey = NDArray[np.float32]
# Longer side in pixels of the picture that patches are cut from, and the steps of its pyramid: a
# crop that shows a quarter of a picture's width still meets it at a common scale.
LONG_SIDE = 256
PYRAMID = (1.0, 0.7071, 0.5, 0.3536, 0.25)
CORNERS = (26, 20, 14, 10, 6)
# A descriptor has histograms of DIRECTIONS bins in CELLS x CELLS cells, of SAMPLES x SAMPLES
# gradients that lie SPACING pixels apart.
DIRECTIONS, CELLS, SAMPLES, SPACING = 8, 4, 16, 2.0
DESCRIPTOR = DIRECTIONS * CELLS**2
HASH_SIDE = 8


@dataclass(frozen=True, eq=False)
class Signature:
    """The signature of one picture with k corners.

    Attributes:
        picture: (H, W) uint8, longer side LONG_SIDE, uniform borders cut off.
        hashes: (8,) uint64, perceptual hashes of the picture's 8 mirrored and turned versions.
        corners: (k, 4) float32, x, y and scale in pixels of picture, angle in radians.
        descriptors: (k, DESCRIPTOR) float32 of length 1, gradients around the corners, relative to their angle.
    """

    picture: NDArray[np.uint8]
    hashes: NDArray[np.uint64]
    corners: NDArray[np.float32]
    descriptors: NDArray[np.float32]


def make_signature(pixels: NDArray[np.uint8]) -> Signature:
    """Returns the signature of a picture, (H, W) or (H, W, 3) uint8."""
    picture = _small_grey(without_borders(pixels))
    corners, descriptors = _describe_corners(picture.astype(np.float32))
    return Signature(picture, dihedral_hashes(picture), corners, descriptors)


def without_borders(pixels: NDArray[np.uint8], tolerance: int = 10) -> NDArray[np.uint8]:
    """Returns a picture without the rows and columns at its edges that are of nearly one grey value.

    Args:
        pixels: (H, W) or (H, W, 3) uint8.
        tolerance: spread of grey values that still counts as uniform.
    """
    grey = pixels if pixels.ndim == 2 else pixels.max(axis=2)
    rows = np.flatnonzero(_spread(grey, axis=1) > tolerance)
    columns = np.flatnonzero(_spread(grey, axis=0) > tolerance)
    if len(rows) < 16 or len(columns) < 16:
        return pixels
    return pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _spread(grey: NDArray[np.uint8], axis: int) -> NDArray[np.float64]:
    # Percentiles, as JPEG rings next to a border's edge.
    low, high = np.percentile(grey, [2, 98], axis=axis)
    return np.asarray(high - low)


def _small_grey(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    image = Image.fromarray(pixels).convert("L")
    image.thumbnail((LONG_SIDE, LONG_SIDE), Image.Resampling.BOX)
    if max(image.size) < LONG_SIDE:
        ratio = LONG_SIDE / max(image.size)
        size = (max(1, round(image.width * ratio)), max(1, round(image.height * ratio)))
        image = image.resize(size, Image.Resampling.BICUBIC)
    return np.array(image)


def dihedral_hashes(picture: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Returns perceptual hashes (Zauner 2010) of a picture in its 8 orientations, (8,) uint64.

    The picture, (H, W) uint8, is stretched to a square. Each bit is the sign of one of the lowest 8 x 8
    cosine coefficients, without the mean. Mirroring changes the sign of the odd ones and turning swaps
    rows and columns, so one transform suffices.
    """
    square = Image.fromarray(picture).resize((32, 32), Image.Resampling.BOX)
    rows = _cosines(32, HASH_SIDE)
    low = rows @ np.asarray(square, dtype=np.float64) @ rows.T
    low[0, 0] = 0
    odd = np.where(np.arange(HASH_SIDE) % 2, -1.0, 1.0)
    versions = []
    for version in (low, low.T):
        for across in (np.ones(HASH_SIDE), odd):
            for down in (np.ones(HASH_SIDE), odd):
                versions.append(_pack_bits(version * across[None, :] * down[:, None] > 0))
    return np.array(versions, dtype=np.uint64)


def _cosines(size: int, count: int) -> NDArray[np.float64]:
    places = (np.arange(size) + 0.5) * np.pi / size
    return np.asarray(np.cos(np.arange(count)[:, None] * places[None, :]))


def _pack_bits(bits: NDArray[np.bool_]) -> int:
    return int.from_bytes(np.packbits(bits.ravel()).tobytes(), "big")


def blur(picture: Grey, sigma: float) -> Grey:
    """Returns a Gaussian blur of (H, W) float32; edge pixels are repeated outwards, sigma is in pixels."""
    radius = max(1, int(3 * sigma + 0.5))
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    weights = (weights / weights.sum()).astype(np.float32)
    for axis in (0, 1):
        size = picture.shape[axis]
        padded = np.pad(picture, [(radius, radius) if a == axis else (0, 0) for a in (0, 1)], mode="edge")
        total = np.zeros_like(picture)
        for offset, weight in enumerate(weights):
            shifted = padded[offset : offset + size] if axis == 0 else padded[:, offset : offset + size]
            total += weight * shifted
        picture = total
    return picture


def slopes(picture: Grey) -> tuple[Grey, Grey]:
    """Returns the gradient of (H, W) float32 per pixel, downwards and to the right."""
    down, across = np.gradient(picture)
    return np.asarray(down), np.asarray(across)


def sample(picture: Grey, x: NDArray[np.floating], y: NDArray[np.floating]) -> Grey:
    """Returns bilinear samples of (H, W) or (H, W, C) float32 at x and y, arrays of one shape.

    Places outside the picture get the nearest edge pixel.
    """
    height, width = picture.shape[:2]
    x = np.clip(x, 0, width - 1.001).astype(np.float32)
    y = np.clip(y, 0, height - 1.001).astype(np.float32)
    left, top = x.astype(np.int32), y.astype(np.int32)
    across, down = x - left, y - top
    if picture.ndim == 3:
        across, down = across[..., None], down[..., None]
    place = top * width + left
    right, below = np.int32(width > 1), np.int32(width if height > 1 else 0)
    values = picture.reshape(height * width, *picture.shape[2:])
    upper = values[place] * (1 - across) + values[place + right] * across
    lower = values[place + below] * (1 - across) + values[place + below + right] * across
    return np.asarray(upper * (1 - down) + lower * down, dtype=np.float32)


def _describe_corners(picture: Grey) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Returns corners and their descriptors at each scale of the pyramid, as in Signature."""
    corners, descriptors = [], []
    for shrink, count in zip(PYRAMID, CORNERS, strict=True):
        height, width = round(picture.shape[0] * shrink), round(picture.shape[1] * shrink)
        if min(height, width) < 12:
            continue
        level = np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.BOX))
        x, y, angle = _find_corners(level, count)
        if len(x) == 0:
            continue
        scale = np.full(len(x), 1 / shrink)
        corners.append(np.stack([(x + 0.5) * scale - 0.5, (y + 0.5) * scale - 0.5, scale, angle], axis=1))
        descriptors.append(_describe(level, x, y, angle))
    if not corners:
        return np.zeros((0, 4), np.float32), np.zeros((0, DESCRIPTOR), np.float32)
    return np.concatenate(corners).astype(np.float32), np.concatenate(descriptors)


def _find_corners(
    level: Grey, count: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Returns x, y and gradient angle of the strongest corners that are 5 pixels apart.

    Harris & Stephens 1988.
    """
    down, across = slopes(blur(level, 1.0))
    xx, yy, xy = (blur(product, 1.5) for product in (across * across, down * down, across * down))
    strength = (xx * yy - xy * xy) / (xx + yy + 1e-6)
    strength[:4], strength[-4:], strength[:, :4], strength[:, -4:] = 0, 0, 0, 0
    rows, columns = np.nonzero((strength >= _highest_around(strength, 5)) & (strength > 1.0))
    best = np.argsort(-strength[rows, columns], kind="stable")[:count]
    rows, columns = rows[best], columns[best]
    wide_down, wide_across = slopes(blur(level, 4.5))
    angle = np.arctan2(wide_down[rows, columns], wide_across[rows, columns])
    return columns.astype(np.float64), rows.astype(np.float64), angle.astype(np.float64)


def _highest_around(values: Grey, radius: int) -> Grey:
    for axis in (0, 1):
        padded = np.pad(values, [(radius, radius) if a == axis else (0, 0) for a in (0, 1)], mode="edge")
        windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * radius + 1, axis=axis)
        values = windows.max(axis=-1)
    return values


def _describe(
    level: Grey, x: NDArray[np.float64], y: NDArray[np.float64], angle: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Returns RootSIFT descriptors, (k, DESCRIPTOR) float32, which a dot product compares.

    They are the square roots (Arandjelovic & Zisserman 2012) of histograms of gradient directions in
    CELLS x CELLS cells (SIFT, Lowe 2004).
    """
    steps = (np.arange(SAMPLES) - (SAMPLES - 1) / 2) * SPACING
    down, across = np.meshgrid(steps, steps, indexing="ij")
    cos, sin = np.cos(angle)[:, None, None], np.sin(angle)[:, None, None]
    places_x = x[:, None, None] + cos * across - sin * down
    places_y = y[:, None, None] + sin * across + cos * down
    level_down, level_across = slopes(blur(level, 1.0))
    gradient_x = sample(level_across, places_x, places_y).reshape(len(x), -1)
    gradient_y = sample(level_down, places_x, places_y).reshape(len(x), -1)
    direction = (np.arctan2(gradient_y, gradient_x) - angle[:, None]) * DIRECTIONS / (2 * np.pi)
    lower = np.floor(direction)
    fraction = direction - lower
    size = np.hypot(gradient_x, gradient_y)
    bins = np.arange(DIRECTIONS)
    is_lower = (lower % DIRECTIONS)[..., None] == bins
    is_upper = ((lower + 1) % DIRECTIONS)[..., None] == bins
    votes = (size * (1 - fraction))[..., None] * is_lower + (size * fraction)[..., None] * is_upper
    histograms = np.asarray(votes.transpose(0, 2, 1) @ CELL_WEIGHTS).reshape(len(x), -1)
    histograms /= np.linalg.norm(histograms, axis=1, keepdims=True) + 1e-9
    # Limits the weight of a single strong edge.
    histograms = np.minimum(histograms, 0.2)
    histograms /= histograms.sum(axis=1, keepdims=True) + 1e-9
    return np.asarray(np.sqrt(histograms), dtype=np.float32)


def _cell_weights() -> NDArray[np.float64]:
    """Returns the weight of each sample in each cell, (SAMPLES**2, CELLS**2), lower far from the middle."""
    places = (np.arange(SAMPLES) + 0.5) * CELLS / SAMPLES - 0.5
    near = np.maximum(0, 1 - np.abs(places[:, None] - np.arange(CELLS)[None, :]))
    middle = np.exp(-0.5 * ((np.arange(SAMPLES) - (SAMPLES - 1) / 2) / (SAMPLES / 2)) ** 2)
    near *= middle[:, None]
    return np.asarray(np.einsum("ya,xb->yxab", near, near).reshape(SAMPLES**2, CELLS**2))


CELL_WEIGHTS = _cell_weights()


def mirrored_descriptors(descriptors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns the descriptors (k, DESCRIPTOR) that the picture's mirror image has."""
    cells = descriptors.reshape(-1, DIRECTIONS, CELLS, CELLS)
    return cells[:, -np.arange(DIRECTIONS) % DIRECTIONS, ::-1].reshape(descriptors.shape)
