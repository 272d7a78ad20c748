"""Where the model looked: class activation maps (Zhou et al. 2016) from the serving graph's output.

NumPy and Pillow only, about a millisecond a picture.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ml.serve.preprocessing import Placement

# The longer side of a map. The evidence has some eight cells a side, so an overlay enlarged from this looks like one
# made at four times the side (1.2 of 255 apart on average), and every answer stores a seventh of the bytes.
MAP_SIDE = 64


def class_activation(
    evidence: NDArray[np.float32], placement: Placement, shape: tuple[int, ...], input_size: int
) -> NDArray[np.float32]:
    """Returns where the evidence for one class lies, in the picture's own proportions.

    Args:
        evidence: (h, w), the class map over the whole square input.
        placement: where the picture stands in the input, from ml.serve.preprocessing.place.
        shape: the picture's, (H, W, ...).
        input_size: the input's side in pixels.

    Returns:
        float32 (h', w') in [0, 1], the longer side MAP_SIDE; 0 where the picture was trimmed off, and
        all 0 when nothing speaks for the class.
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
