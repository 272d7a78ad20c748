"""Fits the out-of-distribution score that ml.serve.out_of_distribution computes, and measures it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.covariance import LedoitWolf
from sklearn.metrics import roc_auc_score

from ml.data import out_of_distribution_images
from ml.evaluate.metrics import share
from ml.progress import ProgressCallback, ProgressEvent, RemainingTime
from ml.serve.inference import Graph
from ml.serve.out_of_distribution import Distribution
from ml.serve.preprocessing import InputSpec, is_blank, preprocess, rescale

# Share of images like those trained on that the threshold refuses.
REFUSAL_RATE = 0.005
# With fewer images the quantile is not informative; the bundle then has no such score.
MIN_IMAGES = 20
Pixels = NDArray[np.uint8]


def fit_and_measure(
    graph: Graph,
    images: Pixels,
    folds: NDArray[np.int64],
    unseen: NDArray[np.bool_],
    spec: InputSpec,
    on_progress: ProgressCallback,
) -> tuple[Distribution, dict[str, Any]] | None:
    """Fits the distribution of a graph's features, and measures it on pictures that are not X-rays.

    Args:
        graph: the serving graph.
        images: (n, size, size, 1 or 3) uint8, fitted X-rays.
        folds, unseen: (n,), as in `fit`.

    Returns:
        The distribution and its figures; None with fewer than MIN_IMAGES unseen images.
    """
    if unseen.sum() < MIN_IMAGES:
        return None
    remaining, features = RemainingTime(len(images)), []
    for number, image in enumerate(images, start=1):
        features.append(graph.run(rescale(image, spec))["features"])
        if number % 50 == 0 or number == len(images):
            on_progress(ProgressEvent("describe", 1, 1, number, len(images), {}, remaining.estimate(number)))
    fitted, scores = fit(np.stack(features), folds, unseen)
    pictures = {
        **out_of_distribution_images.render_images(),
        "photograph": out_of_distribution_images.load_photographs(),
    }
    others = {kind: _scores(graph, fitted, found, spec) for kind, found in pictures.items()}
    refused = {kind: int(np.sum(found > fitted.threshold)) for kind, found in others.items()}
    everything = np.concatenate([scores, *others.values()])
    is_other = np.arange(len(everything)) >= len(scores)
    return fitted, {
        "n": len(scores),
        "not_x_rays": {kind: share(count, len(others[kind])) for kind, count in refused.items()},
        "refused": share(int(np.sum(scores > fitted.threshold)), len(scores)),
        "auroc": float(roc_auc_score(is_other, everything)),
    }


def fit(
    features: NDArray[np.float32],
    folds: NDArray[np.int64],
    unseen: NDArray[np.bool_],
    refusal_rate: float = REFUSAL_RATE,
) -> tuple[Distribution, NDArray[np.float64]]:
    """Fits the distribution of the features of in-distribution images.

    Args:
        features: (n, d) float32.
        folds: (n,) int. The score of an image is that of a distribution fitted to the other folds.
        unseen: (n,) bool, images that the layers below the features were not trained on. The
            threshold refuses refusal_rate of them.

    Returns:
        The distribution fitted to all images, and the scores of the unseen ones, (unseen,) float64.
    """
    scores = np.zeros(len(features))
    for fold in np.unique(folds):
        scores[folds == fold] = _fit(features[folds != fold]).score(features[folds == fold])
    threshold = float(np.quantile(scores[unseen], 1 - refusal_rate, method="higher"))
    return replace(_fit(features), threshold=threshold), scores[unseen]


def _fit(features: NDArray[np.float32]) -> Distribution:
    mean = features.mean(axis=0, dtype=np.float64)
    centred = features - mean
    # The covariance is shrunk towards its diagonal (Ledoit & Wolf 2004): features differ in scale.
    spread = centred.std(axis=0) + 1e-6
    correlation = LedoitWolf(assume_centered=True).fit(centred / spread).covariance_
    values, vectors = np.linalg.eigh(correlation * np.outer(spread, spread))
    whitener = vectors / np.sqrt(np.maximum(values, 1e-12))
    return Distribution(mean.astype(np.float32), whitener.astype(np.float32), np.inf)


def _scores(
    graph: Graph, fitted: Distribution, pictures: Sequence[Pixels], spec: InputSpec
) -> NDArray[np.float64]:
    """Returns the score of each picture, (n,); pictures of one grey value get the largest float."""
    return np.array(
        [
            np.finfo(np.float64).max
            if is_blank(pixels)
            else fitted.score(graph.run(preprocess(pixels, spec))["features"][np.newaxis])[0]
            for pixels in pictures
        ]
    )
