"""Class activation maps (Zhou et al. 2016) from the output of the serving graph (NumPy and Pillow only)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ml.serve.preprocessing import Placement

# Longer side of a map in pixels. The input has about eight cells per side, so an overlay that is enlarged from 64
# pixels looks like one from 256 pixels (a mean difference of 1.2 of 255), and takes a seventh of the storage.
MAP_SIDE = 64


def class_activation_map(
    evidence: NDArray[np.float32], placement: Placement, shape: tuple[int, ...], input_size: int
) -> NDArray[np.float32]:
    """Returns the class activation map of one class with the aspect ratio of the image.

    Args:
        evidence: float32 (h, w), the output "class_maps" for one class, which covers the square input.
        placement: Position of the image in the input, from ml.serve.preprocessing.find_placement.
        shape: Shape of the image, (H, W, ...).
        input_size: Side of the input in pixels.

    Returns:
        float32 (h', w') in [0, 1] with a longer side of MAP_SIDE; 0 where the image was trimmed, and 0 everywhere if
        there is no positive evidence.
    """
    positive = np.maximum(evidence, 0)
    height, width = shape[:2]
    factor = MAP_SIDE / max(height, width)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    across, down = positive.shape[1] / input_size, positive.shape[0] / input_size
    left, top, right, bottom = placement.target
    box = (left * across, top * down, right * across, bottom * down)
    x0, y0, x1, y1 = (round(edge * factor) for edge in placement.source)
    inner = (max(1, x1 - x0), max(1, y1 - y0))
    enlarged = Image.fromarray(positive.astype(np.float32)).resize(inner, Image.Resampling.BICUBIC, box=box)
    canvas = Image.new("F", size, 0.0)
    canvas.paste(enlarged, (x0, y0))
    result = np.maximum(np.asarray(canvas, np.float32), np.float32(0))
    return np.asarray(result / (result.max() or 1.0), np.float32)
