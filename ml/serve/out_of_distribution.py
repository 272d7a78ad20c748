"""The out-of-distribution score of the serving graph's features: the serving side, NumPy only.

Features of bone X-rays lie close to their mean in the Mahalanobis distance (Lee et al. 2018); those of
photographs, documents, drawings and noise lie far from it. ml.train.out_of_distribution fits it.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ml.serve.preprocessing import is_blank

FILE = "distribution.npz"


@dataclass(frozen=True, eq=False)
class Distribution:
    """The distribution of the features of training images; d is the number of features.

    Attributes:
        mean: (d,) float32.
        whitener: (d, d) float32; multiplied by it, a difference from the mean has its Mahalanobis
            distance as length.
        threshold: the largest distance that counts as in distribution.
    """

    mean: NDArray[np.float32]
    whitener: NDArray[np.float32]
    threshold: float

    def score(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Returns the Mahalanobis distance of features (n, d) to the mean, (n,) float32."""
        return np.asarray(np.linalg.norm((features - self.mean) @ self.whitener, axis=1), np.float32)

    def contains(self, features: NDArray[np.float32]) -> bool:
        """Returns whether the features (d,) of one image are in distribution."""
        return bool(self.score(features[np.newaxis])[0] <= self.threshold)

    def to_bytes(self) -> bytes:
        """Returns the content of distribution.npz."""
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **self.__dict__)
        return buffer.getvalue()

    @classmethod
    def load(cls, folder: Path) -> Distribution | None:
        """Loads distribution.npz from a bundle's folder; returns None if the bundle has none."""
        path = folder / FILE
        if not path.exists():
            return None
        with np.load(path, allow_pickle=False) as saved:
            return cls(saved["mean"], saved["whitener"], float(saved["threshold"]))


def is_recognised(
    pixels: NDArray[np.uint8], features: NDArray[np.float32], distribution: Distribution | None
) -> bool:
    """Returns whether a model may answer an image: it is not blank, and its features are in distribution.

    Args:
        pixels: The image, uint8 (H, W) or (H, W, 3).
        features: Its features, float32 (d,).
        distribution: The distribution of the bundle; None if the bundle has none, which excludes only blank images.
    """
    return not is_blank(pixels) and (distribution is None or distribution.contains(features))
