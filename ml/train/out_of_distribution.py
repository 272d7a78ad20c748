"""Fits the out-of-distribution score that ml.serve.out_of_distribution computes, and measures it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.covariance import LedoitWolf
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from ml.data import out_of_distribution_images
from ml.data.folds import grouped_folds
from ml.evaluate.metrics import share
from ml.progress import ProgressCallback, ProgressEvent, RemainingTime
from ml.serve.inference import Graph
from ml.serve.out_of_distribution import Distribution
from ml.serve.preprocessing import InputSpec, is_blank, preprocess, rescale

# Share of images like those trained on that the threshold refuses.
REFUSAL_RATE = 0.005
# With fewer images the quantile is not informative; the bundle then has no such score.
MIN_IMAGES = 20
FOLDS = 5
# Inverse strength of the L2 penalty of the boundary, for a total sample weight of 1 per class. Values from 3 to 100
# gave boundaries of the same quality.
BOUNDARY_C = 30.0
Pixels = NDArray[np.uint8]
Features = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Source:
    """X-rays of one source.

    Attributes:
        features: (n, d) float32. The layers below the features were not trained on these X-rays.
        groups: (n,), the group of each X-ray.
        refusal_rate: Share of the X-rays that the threshold of the distance refuses. The boundary refuses at most half
            of it.
    """

    features: Features
    groups: Sequence[str]
    refusal_rate: float

    def folds(self, seed: int) -> NDArray[np.int64]:
        """Returns the fold of each X-ray, (n,) int."""
        num_folds = min(FOLDS, len(set(self.groups)))
        return grouped_folds(np.zeros(len(self.groups), np.int64), self.groups, num_folds, seed)


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
    refused = {kind: int(np.sum(found > 1)) for kind, found in others.items()}
    everything = np.concatenate([scores, *others.values()])
    is_other = np.arange(len(everything)) >= len(scores)
    return fitted, {
        "n": len(scores),
        "not_x_rays": {kind: share(count, len(others[kind])) for kind, count in refused.items()},
        "refused": share(int(np.sum(scores > 1)), len(scores)),
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
    distances = np.zeros(len(features))
    for fold in np.unique(folds):
        distances[folds == fold] = _fit(features[folds != fold]).score(features[folds == fold])
    threshold = np.quantile(distances[unseen], 1 - refusal_rate, method="higher")
    fitted = replace(_fit(features), threshold=np.array([threshold], np.float32))
    return fitted, distances[unseen] / threshold


@dataclass(frozen=True, eq=False)
class Recognition:
    """A distribution of several sources, and what it does with images that it was not fitted on.

    Attributes:
        distribution: The distribution, fitted on all images.
        accepted: For each source, whether each X-ray is in distribution, (n,) bool; cross-fitted by group.
        nearest: For each source, the index of the source nearest to each X-ray, (n,) int; cross-fitted by group.
        others_accepted: Whether each of the other images is in distribution, (m,) bool. The boundary is cross-fitted by
            group; the distances do not depend on these images.
    """

    distribution: Distribution
    accepted: list[NDArray[np.bool_]]
    nearest: list[NDArray[np.intp]]
    others_accepted: NDArray[np.bool_]


def fit_sources(
    sources: Sequence[Source], others: Features | None, other_groups: Sequence[str], seed: int
) -> Recognition:
    """Fits a distribution to X-rays of several sources, with a boundary against other images if there are any.

    Args:
        sources: The X-rays.
        others: (m, d) float32, features of images that should be out of distribution; None fits no boundary.
        other_groups: (m,), the group of each of the other images, such as the volume of a slice.
        seed: Seed of the folds.
    """
    fitted, own_scores = [], []
    for source in sources:
        folds = source.folds(seed)
        one, scores = fit(source.features, folds, np.ones(len(folds), bool), source.refusal_rate)
        fitted.append(one)
        own_scores.append(scores)
    distribution = Distribution.of_sources(fitted)
    distances = [distribution.distances(source.features) for source in sources]
    for number, scores in enumerate(own_scores):
        distances[number][:, number] = scores
    accepted = [found.min(axis=1) <= 1 for found in distances]
    nearest = [found.argmin(axis=1) for found in distances]
    if others is None or len(others) == 0:
        return Recognition(distribution, accepted, nearest, np.zeros(0, bool))
    boundary, margins, other_margins = _fit_boundary(sources, others, np.asarray(other_groups), seed)
    accepted = [found & (margin >= 0) for found, margin in zip(accepted, margins, strict=True)]
    others_accepted = (distribution.score(others) <= 1) & (other_margins >= 0)
    return Recognition(replace(distribution, boundary=boundary), accepted, nearest, others_accepted)


def _fit_boundary(
    sources: Sequence[Source], others: Features, other_groups: NDArray[np.str_], seed: int
) -> tuple[Features, list[NDArray[np.float64]], NDArray[np.float64]]:
    """Returns the boundary, and the cross-fitted margins of the X-rays of each source and of the other images."""
    features = [source.features for source in sources]
    folds = [source.folds(seed) for source in sources]
    margins = [np.zeros(len(found)) for found in features]
    for fold in range(max(int(found.max()) for found in folds) + 1):
        line = _logistic([one[part != fold] for one, part in zip(features, folds, strict=True)], others)
        for one, part, margin in zip(features, folds, margins, strict=True):
            margin[part == fold] = one[part == fold] @ line[:-1] + line[-1]
    other_margins = np.zeros(len(others))
    for group in np.unique(other_groups):
        inside = other_groups == group
        line = _logistic(features, others[~inside]) if not inside.all() else _logistic(features, others)
        other_margins[inside] = others[inside] @ line[:-1] + line[-1]
    lowest = min(
        float(np.quantile(margin, source.refusal_rate / 2, method="lower"))
        for margin, source in zip(margins, sources, strict=True)
    )
    boundary = _logistic(features, others)
    boundary[-1] -= lowest
    return boundary.astype(np.float32), [margin - lowest for margin in margins], other_margins - lowest


def _logistic(sources: Sequence[Features], others: Features) -> NDArray[np.float64]:
    """Returns weights and bias, (d + 1,), of a logistic regression of X-rays against others.

    All sources have the same total weight.
    """
    x = np.concatenate([*sources, others]).astype(np.float64)
    mean, std = x.mean(axis=0), x.std(axis=0) + 1e-6
    weights = [np.full(len(one), 1 / len(one) / len(sources)) for one in sources]
    weights.append(np.full(len(others), 1 / len(others)))
    labels = np.arange(len(x)) < len(x) - len(others)
    model = LogisticRegression(C=BOUNDARY_C, max_iter=1000)
    model.fit((x - mean) / std, labels, sample_weight=np.concatenate(weights))
    slopes = model.coef_[0] / std
    return np.append(slopes, model.intercept_[0] - slopes @ mean)


def _fit(features: NDArray[np.float32]) -> Distribution:
    mean = features.mean(axis=0, dtype=np.float64)
    centred = features - mean
    # The covariance is shrunk towards its diagonal (Ledoit & Wolf 2004): features differ in scale.
    spread = centred.std(axis=0) + 1e-6
    correlation = LedoitWolf(assume_centered=True).fit(centred / spread).covariance_
    values, vectors = np.linalg.eigh(correlation * np.outer(spread, spread))
    whitener = vectors / np.sqrt(np.maximum(values, 1e-12))
    # With a threshold of 1, the score is the distance.
    one = np.ones(1, np.float32)
    return Distribution(mean.astype(np.float32)[np.newaxis], whitener.astype(np.float32)[np.newaxis], one)


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
