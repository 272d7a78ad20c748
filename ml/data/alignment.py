"""Aligns one picture with another and measures how well their fine structure agrees."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ml.data.signatures import Grey, blur, sample, slopes

# Bands of detail as the sigmas of two blurs in pixels: the wide one, at half the size, to align pictures;
# the narrow one, at full size, to measure their agreement.
WIDE, NARROW = (0.75, 4.0), (1.0, 3.0)
CONTRAST_SIGMA = 4.0
# Detail fainter than this, in grey levels, is not amplified. Much of what distinguishes copies from
# pictures of the same bone in the same pose is faint.
FAINT = 0.5
STEPS = 12
# Pictures that fit worse than this in wide detail do not agree in narrow detail.
MIN_FIT = 0.5
MAX_STRETCH = 1.25
Map = NDArray[np.float64]
Places = tuple[NDArray[np.float64], NDArray[np.float64]]


@dataclass(frozen=True, eq=False)
class Overlap:
    """The place where two pictures overlap.

    Attributes:
        geometry: (2, 3) float64, affine map from pixels (x, y) of the first picture to the second.
        correlation: of the fine structure in the overlap, -1 to 1.
        area: of the overlap as a share of the smaller picture, 0 to 1.
    """

    geometry: Map
    correlation: float
    area: float


def lay_over(first: NDArray[np.uint8], second: NDArray[np.uint8], geometry: Map) -> Overlap:
    """Refines a rough geometry and measures the agreement of the aligned pictures.

    Alignment is Gauss-Newton on the six parameters of an affine map (Lucas & Kanade 1981; Baker &
    Matthews 2004), on pictures without low frequencies. Agreement is measured in finer detail: unrelated
    limbs on black correlate highly in grey values, and unrelated shafts in their wide edges.

    Args:
        first, second: (H, W) uint8.
        geometry: (2, 3) float64, as in Overlap.

    Returns:
        The refined overlap; its area is 0 where the alignment failed.
    """
    fitted, correlation = _fit(_halved(first), _halved(second), _halved_map(geometry))
    fitted = _doubled_map(fitted)
    if correlation < MIN_FIT:
        return Overlap(fitted, correlation, 0.0)
    if abs(np.linalg.det(fitted[:, :2])) >= 1:
        return _agreement(first, second, fitted)
    # Measured in the frame of the coarser picture: the finer one has all of its detail.
    other_way = _agreement(second, first, _inverse(fitted))
    return Overlap(fitted, other_way.correlation, other_way.area)


def _inverse(geometry: Map) -> Map:
    back = np.linalg.inv(geometry[:, :2])
    return np.column_stack([back, -back @ geometry[:, 2]])


def _halved(picture: NDArray[np.uint8]) -> Grey:
    height, width = picture.shape[0] // 2 * 2, picture.shape[1] // 2 * 2
    blocks = picture[:height, :width].reshape(height // 2, 2, width // 2, 2)
    return np.asarray(blocks.mean(axis=(1, 3)), dtype=np.float32)


def _halved_map(geometry: Map) -> Map:
    linear, shift = geometry[:, :2], geometry[:, 2]
    return np.column_stack([linear, (shift + linear @ [0.5, 0.5] - 0.5) / 2])


def _doubled_map(geometry: Map) -> Map:
    linear, shift = geometry[:, :2], geometry[:, 2]
    return np.column_stack([linear, 2 * shift + 0.5 - linear @ [0.5, 0.5]])


def _detail(picture: Grey, band: tuple[float, float]) -> Grey:
    detail = blur(picture, band[0]) - blur(picture, band[1])
    # Local contrast is equalised, so that a drawn arrow or letter does not dominate.
    return np.asarray(detail / (np.sqrt(blur(detail * detail, CONTRAST_SIGMA)) + FAINT), dtype=np.float32)


def _grid(shape: tuple[int, ...]) -> Places:
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]].astype(np.float64)
    return x, y


def _moved(places: Places, geometry: Map, shape: tuple[int, ...]) -> tuple[Places, NDArray[np.bool_]]:
    x, y = places
    to_x = geometry[0, 0] * x + geometry[0, 1] * y + geometry[0, 2]
    to_y = geometry[1, 0] * x + geometry[1, 1] * y + geometry[1, 2]
    inside = (to_x >= 0) & (to_y >= 0) & (to_x <= shape[1] - 1) & (to_y <= shape[0] - 1)
    return (to_x, to_y), inside


def _correlation(one: Grey, other: Grey) -> float:
    if len(one) < 64:
        return -1.0
    one, other = one - one.mean(), other - other.mean()
    length = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(one @ other) / length if length > 0 else -1.0


def _agreement(coarser: NDArray[np.uint8], finer: NDArray[np.uint8], geometry: Map) -> Overlap:
    scale = np.sqrt(abs(np.linalg.det(geometry[:, :2])))
    (to_x, to_y), inside = _moved(_grid(coarser.shape), geometry, finer.shape)
    sharp = finer.astype(np.float32)
    brought = sample(blur(sharp, 0.5 * scale) if scale > 1.2 else sharp, to_x, to_y)
    one = _detail(coarser.astype(np.float32), NARROW)[inside]
    other = _detail(brought, NARROW)[inside]
    smaller = min(coarser.size, finer.size / scale**2)
    return Overlap(geometry, _correlation(one, other), min(1.0, float(inside.sum()) / smaller))


def _fit(first: Grey, second: Grey, geometry: Map) -> tuple[Map, float]:
    target, other = _detail(first, WIDE), _detail(second, WIDE)
    down, across = slopes(other)
    layers = np.stack([other, across, down], axis=-1)
    places = _grid(first.shape)
    best, best_correlation, current = geometry, -1.0, geometry
    for _ in range(STEPS):
        (to_x, to_y), inside = _moved(places, current, other.shape)
        x, y = places[0][inside].astype(np.float32), places[1][inside].astype(np.float32)
        brought, rise_x, rise_y = sample(layers, to_x[inside], to_y[inside]).T
        correlation = _correlation(target[inside], brought)
        if correlation < best_correlation + 1e-3:
            break
        best, best_correlation = current, correlation
        jacobian = np.stack([rise_x * x, rise_x * y, rise_x, rise_y * x, rise_y * y, rise_y], axis=1)
        normal = (jacobian.T @ jacobian).astype(np.float64) + 1e-3 * np.eye(6)
        change = np.linalg.solve(normal, jacobian.T @ (target[inside] - brought))
        current = current + change.reshape(2, 3)
        if not _is_close(current, geometry):
            break
    return best, best_correlation


def _is_close(geometry: Map, start: Map) -> bool:
    # Without a limit, stretching makes any two straight bones coincide.
    stretch = np.linalg.svd(geometry[:, :2] @ np.linalg.inv(start[:, :2]), compute_uv=False)
    return bool(stretch[0] < MAX_STRETCH and stretch[-1] > 1 / MAX_STRETCH)
