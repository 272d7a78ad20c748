"""Is a picture like those trained on? A score of the serving graph's features; NumPy only.

Features of X-rays of bones lie close to their mean as their covariance measures it (the Mahalanobis
distance, Lee et al. 2018); photographs, documents, drawings and noise lie far out.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

FILE = "distribution.npz"
REFUSAL_RATE = 0.005


@dataclass(frozen=True, eq=False)
class Distribution:
    """What features are compared with.

    mean: (d,). whitener: (d, d), turns a difference from the mean into one whose length is its
    Mahalanobis distance. threshold: the longest that is still like the pictures trained on.
    """

    mean: NDArray[np.float32]
    whitener: NDArray[np.float32]
    threshold: float

    @classmethod
    def fit(
        cls,
        features: NDArray[np.float32],
        folds: NDArray[np.int64],
        unseen: NDArray[np.bool_],
        refusal_rate: float = REFUSAL_RATE,
    ) -> tuple[Distribution, NDArray[np.float64]]:
        """Fits to the features, (n, d), of pictures that are all of the right kind.

        Args:
            folds: (n,). Each picture is compared with those of other folds alone.
            unseen: (n,), which pictures the layers that make the features did not learn from. The
                threshold refuses refusal_rate of them.

        Returns:
            The fitted distribution, and the scores of the unseen pictures.
        """
        scores = np.zeros(len(features))
        for fold in np.unique(folds):
            scores[folds == fold] = cls._of(features[folds != fold], np.inf).score(features[folds == fold])
        threshold = float(np.quantile(scores[unseen], 1 - refusal_rate, method="higher"))
        return cls._of(features, threshold), scores[unseen]

    def score(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Returns how far features (n, d) lie from the mean, (n,)."""
        return np.asarray(np.linalg.norm((features - self.mean) @ self.whitener, axis=1), np.float32)

    def contains(self, features: NDArray[np.float32]) -> bool:
        """Returns whether one picture's features (d,) are like those trained on."""
        return bool(self.score(features[np.newaxis])[0] <= self.threshold)

    def to_bytes(self) -> bytes:
        """Returns the content of distribution.npz."""
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **self.__dict__)
        return buffer.getvalue()

    @classmethod
    def load(cls, folder: Path) -> Distribution | None:
        """Loads distribution.npz from a bundle; None if the bundle has none."""
        path = folder / FILE
        if not path.exists():
            return None
        with np.load(path, allow_pickle=False) as saved:
            return cls(saved["mean"], saved["whitener"], float(saved["threshold"]))

    @classmethod
    def _of(cls, features: NDArray[np.float32], threshold: float) -> Distribution:
        mean = features.mean(axis=0, dtype=np.float64)
        centred = features - mean
        covariance = _shrunk_covariance(centred)
        values, vectors = np.linalg.eigh(covariance)
        whitener = vectors / np.sqrt(np.maximum(values, 1e-12))
        return cls(mean.astype(np.float32), whitener.astype(np.float32), threshold)


def _shrunk_covariance(centred: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the covariance, shrunk towards its diagonal by the share of Ledoit and Wolf (2004)."""
    n, d = centred.shape
    spread = centred.std(axis=0) + 1e-6
    z = centred / spread
    empirical = z.T @ z / n
    off_target = np.sum((empirical - np.eye(d)) ** 2)
    noise = (np.sum((z**2).T @ (z**2)) / n - np.sum(empirical**2)) / n
    share = min(1.0, float(noise / max(off_target, 1e-12)))
    shrunk = (1 - share) * empirical + share * np.eye(d)
    return np.asarray(shrunk * np.outer(spread, spread), np.float64)
