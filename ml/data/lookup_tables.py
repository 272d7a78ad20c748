"""Applies lookup tables to images."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

# Images are converted in blocks of this many rows, so that NumPy's temporary copies stay small.
ROWS_PER_BLOCK = 256


def apply_lookup_table(table: NDArray[np.uint8], values: NDArray[Any]) -> NDArray[np.uint8]:
    """Returns table[values], computed in blocks of rows.

    Args:
        table: uint8 (number of possible values,).
        values: Unsigned integers (H, W), each less than len(table).

    Returns:
        uint8 (H, W).
    """
    result = np.empty(values.shape, np.uint8)
    for top in range(0, len(values), ROWS_PER_BLOCK):
        result[top : top + ROWS_PER_BLOCK] = table[values[top : top + ROWS_PER_BLOCK]]
    return result
