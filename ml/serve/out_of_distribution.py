"""The out-of-distribution score of the serving graph's features: the serving side, NumPy only.

Features of bone X-rays of one source, such as a group of hospitals or a collection of web pages, lie close to their
mean in the Mahalanobis distance (Lee et al. 2018); those of photographs, documents, drawings and noise lie far from it.
Sources differ too much for one Gaussian, so each has its own, and an image is in distribution if it is close to any of
them. Slices of CT or MR are closer than photographs, so a linear boundary that was fitted on such images excludes them
(outlier exposure, Hendrycks et al. 2019). ml.train.out_of_distribution fits both.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ml.serve.preprocessing import SourceImage

FILE = "distribution.npz"


@dataclass(frozen=True, eq=False)
class Distribution:
    """The distribution of the features of training images; d is the number of features, k of sources.

    Attributes:
        mean: (k, d) float32.
        whitener: (k, d, d) float32; multiplied by it, a difference from the mean has its Mahalanobis distance as
            length.
        threshold: (k,) float32, the largest distance from each mean that counts as in distribution.
        boundary: (d + 1,) float32, weights and bias of a linear function of the features that is negative for images
            out of distribution; None without a boundary.
    """

    mean: NDArray[np.float32]
    whitener: NDArray[np.float32]
    threshold: NDArray[np.float32]
    boundary: NDArray[np.float32] | None = None

    def distances(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Returns the Mahalanobis distances of features (n, d), as shares of the thresholds, (n, k) float32."""
        pairs = zip(self.mean, self.whitener, strict=True)
        found = [np.linalg.norm((features - mean) @ whitener, axis=1) for mean, whitener in pairs]
        return np.asarray(np.stack(found, axis=1) / self.threshold, np.float32)

    def score(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Returns the smallest of the distances of features (n, d), (n,) float32; up to 1 is in distribution."""
        return np.asarray(self.distances(features).min(axis=1), np.float32)

    def contains(self, features: NDArray[np.float32]) -> bool:
        """Returns whether the features (d,) of one image are in distribution."""
        if self.boundary is not None and float(features @ self.boundary[:-1] + self.boundary[-1]) < 0:
            return False
        return bool(self.score(features[np.newaxis])[0] <= 1)

    def nearest(self, features: NDArray[np.float32]) -> int:
        """Returns the index of the source with the smallest distance from the features (d,) of one image."""
        return int(self.distances(features[np.newaxis])[0].argmin())

    @classmethod
    def of_sources(
        cls, sources: Sequence[Distribution], boundary: NDArray[np.float32] | None = None
    ) -> Distribution:
        """Returns the distribution of the images of several sources."""
        mean, whitener, threshold = (
            np.concatenate([getattr(source, name) for source in sources])
            for name in ("mean", "whitener", "threshold")
        )
        return cls(mean, whitener, threshold, boundary)

    def to_bytes(self) -> bytes:
        """Returns the content of distribution.npz."""
        buffer = io.BytesIO()
        arrays = {name: value for name, value in self.__dict__.items() if value is not None}
        np.savez_compressed(buffer, **arrays)
        return buffer.getvalue()

    @classmethod
    def load(cls, folder: Path) -> Distribution | None:
        """Loads distribution.npz from a bundle's folder; returns None if the bundle has none.

        The arrays of a distribution of one source may lack the first axis.
        """
        path = folder / FILE
        if not path.exists():
            return None
        with np.load(path, allow_pickle=False) as saved:
            d = saved["mean"].shape[-1]
            return cls(
                saved["mean"].reshape(-1, d),
                saved["whitener"].reshape(-1, d, d),
                saved["threshold"].astype(np.float32).reshape(-1),
                saved.get("boundary"),
            )


def is_recognised(
    image: SourceImage, features: NDArray[np.float32], distribution: Distribution | None
) -> bool:
    """Returns whether a model may answer an image: it is not blank, and its features are in distribution.

    Args:
        image: The image.
        features: Its features, float32 (d,).
        distribution: The distribution of the bundle; None if the bundle has none, which excludes only blank images.
    """
    return not image.is_blank and (distribution is None or distribution.contains(features))
