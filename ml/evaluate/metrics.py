"""How good answers are: NumPy only.

Throughout, labels is (n,) int with the true class's index, predicted is (n,) int, probabilities is
(n, classes) float with rows that sum to 1, groups is (n,) of any kind: images of one group are
not independent of each other.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.integer[Any]]
Floats = NDArray[np.floating[Any]]


def accuracy(labels: Ints, predicted: Ints) -> float:
    """Share of images whose predicted class is the true one."""
    return float(np.mean(labels == predicted))


def balanced_accuracy(labels: Ints, predicted: Ints) -> float:
    """Mean recall of the classes that have an image (Brodersen et al. 2010)."""
    images = np.bincount(labels)
    right = np.bincount(labels[labels == predicted], minlength=len(images))
    return float(np.mean(right[images > 0] / images[images > 0]))


def top_k_accuracy(labels: Ints, probabilities: Floats, k: int = 3) -> float:
    """Share of images whose true class is among the k most probable; ties count as ranked by index."""
    ranked = np.argsort(-probabilities, axis=1, kind="stable")[:, :k]
    return float(np.mean((ranked == labels[:, None]).any(axis=1)))


def confusion_matrix(labels: Ints, predicted: Ints, num_classes: int) -> NDArray[np.int64]:
    """(classes, classes) counts: rows are true classes, columns predicted ones."""
    matrix = np.zeros((num_classes, num_classes), dtype=np.int64)
    np.add.at(matrix, (labels, predicted), 1)
    return matrix


@dataclass(frozen=True)
class ClassScores:
    """(classes,) arrays. Precision is NaN for a class never predicted, recall for one with no image."""

    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    f1: NDArray[np.float64]
    support: NDArray[np.int64]


def class_scores(labels: Ints, predicted: Ints, num_classes: int) -> ClassScores:
    """Precision, recall, F1 (2 TP / (2 TP + FP + FN)) and number of images of each class."""
    matrix = confusion_matrix(labels, predicted, num_classes)
    right, support, called = np.diag(matrix), matrix.sum(axis=1), matrix.sum(axis=0)
    with np.errstate(invalid="ignore"):
        return ClassScores(right / called, right / support, 2 * right / (called + support), support)


def negative_log_likelihood(labels: Ints, probabilities: Floats) -> float:
    """Mean of -ln p(true class), in nats; a probability of 0 counts as the smallest float."""
    truth = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return float(-np.mean(np.log(np.maximum(truth, np.finfo(np.float64).tiny))))


def brier_score(labels: Ints, probabilities: Floats) -> float:
    """Mean squared distance to the one-hot truth, 0 to 2 (Brier 1950)."""
    truth = np.eye(probabilities.shape[1])[labels]
    return float(np.mean(np.sum((probabilities - truth) ** 2, axis=1)))


@dataclass(frozen=True)
class ReliabilityBins:
    """(bins,) arrays: upper edge, number of images, mean confidence and accuracy (NaN where empty)."""

    upper: NDArray[np.float64]
    count: NDArray[np.int64]
    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]


def reliability_bins(labels: Ints, probabilities: Floats, bins: int = 15) -> ReliabilityBins:
    """Images in equal bins of confidence (a, b], as in Guo et al. 2017."""
    confidence = probabilities.max(axis=1).astype(np.float64)
    correct = probabilities.argmax(axis=1) == labels
    place = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    count = np.bincount(place, minlength=bins)
    with np.errstate(invalid="ignore"):
        mean_confidence = np.bincount(place, weights=confidence, minlength=bins) / count
        mean_correct = np.bincount(place, weights=correct, minlength=bins) / count
    return ReliabilityBins(np.arange(1, bins + 1) / bins, count, mean_confidence, mean_correct)


def expected_calibration_error(labels: Ints, probabilities: Floats, bins: int = 15) -> float:
    """Mean distance of confidence and accuracy over the bins, weighted by images (Naeini et al. 2015)."""
    filled = reliability_bins(labels, probabilities, bins)
    gaps = np.abs(filled.confidence - filled.accuracy)
    return float(np.nansum(gaps * filled.count) / len(labels))


def calibration_error_by_chance(probabilities: Floats, draws: int = 200, seed: int = 0) -> float:
    """The calibration error that perfectly calibrated confidence would show on so many images, on average.

    Few images in a bin miss its confidence by chance, so the error is above 0 even then: labels are
    drawn from the probabilities themselves, and the error measured.
    """
    generator = np.random.default_rng(seed)
    steps = np.cumsum(probabilities, axis=1)
    errors = []
    for _ in range(draws):
        labels = (generator.random((len(steps), 1)) * steps[:, -1:] >= steps).sum(axis=1)
        labels = np.minimum(labels, probabilities.shape[1] - 1)
        errors.append(expected_calibration_error(labels, probabilities))
    return float(np.mean(errors))


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % interval and the numbers of images and groups behind it."""

    value: float
    low: float
    high: float
    n: int
    num_groups: int

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


def estimate(
    statistic: Callable[[NDArray[np.intp]], float],
    groups: Sequence[object] | NDArray[Any],
    resamples: int = 2000,
    seed: int = 0,
) -> Estimate:
    """A statistic with its 95 % percentile interval from a bootstrap of whole groups.

    Groups, not images, are drawn with replacement (the cluster bootstrap, Davison & Hinkley 1997,
    section 3.8): images of one group share their luck.

    Args:
        statistic: from the indices of images (with repeats) to the figure; NaN where undefined.
        groups: (n,), the group of each image.
    """
    _, group_of = np.unique(np.asarray(groups).astype(str), return_inverse=True)
    num_groups = int(group_of.max()) + 1
    order = np.argsort(group_of, kind="stable")
    members = np.split(order, np.cumsum(np.bincount(group_of))[:-1])
    generator = np.random.default_rng(seed)
    values = [
        statistic(np.concatenate([members[group] for group in drawn]))
        for drawn in generator.integers(num_groups, size=(resamples, num_groups))
    ]
    usable = np.asarray(values, dtype=np.float64)
    usable = usable[~np.isnan(usable)]
    low, high = np.quantile(usable, [0.025, 0.975]) if len(usable) else (math.nan, math.nan)
    value = statistic(np.arange(len(group_of)))
    return Estimate(float(value), float(low), float(high), len(group_of), num_groups)


def mcnemar_exact(only_first_right: int, only_second_right: int) -> float:
    """Two-sided p-value of McNemar's exact test: the discordant pairs against a fair coin."""
    discordant = only_first_right + only_second_right
    fewer = min(only_first_right, only_second_right)
    tail = sum(math.comb(discordant, count) for count in range(fewer + 1))
    return min(1.0, float(2 * tail / 2**discordant))


def wilson_interval(successes: int, n: int) -> tuple[float, float]:
    """95 % interval of a share of independent cases (Wilson 1927)."""
    if n == 0:
        return 0.0, 1.0
    z = 1.959964
    share = successes / n
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    reach = z * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    return max(0.0, centre - reach), min(1.0, centre + reach)
