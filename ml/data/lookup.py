"""Tables that say what becomes of each stored value."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

# Pixels are converted this many rows at a time: NumPy's own copies then take no second whole picture.
ROWS = 256


def look_up(table: NDArray[np.uint8], indices: NDArray[Any]) -> NDArray[np.uint8]:
    """Returns table[indices] for a picture of unsigned indices."""
    found = np.empty(indices.shape, np.uint8)
    for top in range(0, len(indices), ROWS):
        found[top : top + ROWS] = table[indices[top : top + ROWS]]
    return found
