"""Connected components are found as by a plain flood fill."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from ml.data.connected_components import find_components

Box = tuple[int, int, int, int, int]


def flooded(mask: NDArray[np.bool_]) -> list[Box]:
    """Returns left, top, right, bottom and area of each component."""
    left = {(int(row), int(column)) for row, column in zip(*np.nonzero(mask), strict=True)}
    boxes = []
    while left:
        waiting, found = [left.pop()], []
        while waiting:
            row, column = waiting.pop()
            found.append((row, column))
            near = {(row + down, column + right) for down in (-1, 0, 1) for right in (-1, 0, 1)} & left
            left -= near
            waiting.extend(near)
        rows, columns = zip(*found, strict=True)
        boxes.append((min(columns), min(rows), max(columns) + 1, max(rows) + 1, len(found)))
    return sorted(boxes)


@pytest.mark.parametrize("density", [0, 0.05, 0.3, 0.45, 0.7, 1])
@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (37, 53)])
def test_components_are_those_of_a_flood_fill(shape: tuple[int, int], density: float) -> None:
    for seed in range(5):
        mask = np.random.default_rng(seed).random(shape) < density
        found = find_components(mask)
        columns = (found.left, found.top, found.right, found.bottom, found.area)
        boxes = sorted((*map(int, row),) for row in zip(*columns, strict=True))
        assert boxes == flooded(mask)
