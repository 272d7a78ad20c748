"""Finds the connected components of binary images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Components:
    """The bounding boxes of connected components, of which each array has one entry; right and bottom are exclusive.

    Attributes:
        left, top, right, bottom: Edges in pixels.
        area: Number of pixels.
    """

    left: Integers
    top: Integers
    right: Integers
    bottom: Integers
    area: Integers

    @property
    def width(self) -> Integers:
        """Widths in pixels."""
        return self.right - self.left

    @property
    def height(self) -> Integers:
        """Heights in pixels."""
        return self.bottom - self.top

    def select(self, chosen: NDArray[np.bool_]) -> Components:
        """Returns the components that are chosen."""
        return Components(
            self.left[chosen], self.top[chosen], self.right[chosen], self.bottom[chosen], self.area[chosen]
        )


def find_components(mask: NDArray[np.bool_]) -> Components:
    """Returns the components of pixels that touch each other at edges or corners.

    Args:
        mask: bool (H, W).
    """
    rows, starts, ends = _runs(mask)
    if not len(rows):
        return Components(*(np.zeros(0, np.int64) for _ in range(5)))
    labels = _connected(len(rows), *_touching(rows, starts, ends))
    order = np.argsort(labels, kind="stable")
    first = np.flatnonzero(np.diff(labels[order], prepend=-1))
    rows, starts, ends = rows[order], starts[order], ends[order]
    return Components(
        left=np.minimum.reduceat(starts, first),
        top=np.minimum.reduceat(rows, first),
        right=np.maximum.reduceat(ends, first),
        bottom=np.maximum.reduceat(rows, first) + 1,
        area=np.add.reduceat(ends - starts, first),
    )


def _runs(mask: NDArray[np.bool_]) -> tuple[Integers, Integers, Integers]:
    """Returns row, start and exclusive end of each horizontal run of pixels, ordered by row and start."""
    width = mask.shape[1] + 1
    padded = np.zeros((mask.shape[0], width), bool)
    padded[:, 1:] = mask
    flat = np.append(padded.ravel(), False)
    # The pixel before each row is empty, so the changes are starts and ends in turn.
    changes = np.flatnonzero(flat[1:] != flat[:-1])
    starts, ends = changes[::2], changes[1::2]
    rows = starts // width
    return rows, starts - rows * width, ends - rows * width


def _touching(rows: Integers, starts: Integers, ends: Integers) -> tuple[Integers, Integers]:
    """Returns the pairs of runs of neighbouring rows that touch."""
    # Positions that order all runs, by which the touching runs of the previous row are a slice.
    stride = int(ends.max()) + 3
    first = np.searchsorted(rows * stride + ends, (rows - 1) * stride + starts)
    last = np.searchsorted(rows * stride + starts, (rows - 1) * stride + ends, side="right")
    counts = np.maximum(last - first, 0)
    this = np.repeat(np.arange(len(rows)), counts)
    offsets = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return this, np.repeat(first, counts) + offsets


def _connected(number: int, one: Integers, other: Integers) -> Integers:
    """Returns a label for each node of a graph: the lowest number of a node in its component."""
    labels = np.arange(number)
    while True:
        lowest = np.minimum(labels[one], labels[other])
        new = labels.copy()
        np.minimum.at(new, labels[one], lowest)
        np.minimum.at(new, labels[other], lowest)
        while not np.array_equal(new, pointed := new[new]):
            new = pointed
        if np.array_equal(new, labels):
            return labels
        labels = new
