"""Figures of classification and calibration, and their intervals.

Throughout, labels is (n,) int with the index of each image's true class, predicted is (n,) int,
probabilities is (n, classes) float with rows that sum to 1, groups is (n,) of any kind: images of one
group are not independent of each other.

The figures equal those of scikit-learn (tests/ml/evaluate/test_metrics.py compares them). Its functions
are not called here: they take 1 to 20 ms, about a hundred times as long, and a bootstrap calls each
figure 2000 times.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest, rankdata

Ints = NDArray[np.integer[Any]]
Floats = NDArray[np.floating[Any]]


def accuracy(labels: Ints, predicted: Ints) -> float:
    """Returns the share of images whose predicted class is the true one."""
    return float(np.mean(labels == predicted))


def balanced_accuracy(labels: Ints, predicted: Ints) -> float:
    """Returns the mean recall of the classes that have an image (Brodersen et al. 2010)."""
    images = np.bincount(labels)
    right = np.bincount(labels[labels == predicted], minlength=len(images))
    return float(np.mean(right[images > 0] / images[images > 0]))


def top_k_accuracy(labels: Ints, probabilities: Floats, k: int = 3) -> float:
    """Returns the share of images whose true class is among the k most probable.

    Of classes with equal probability the one with the lower index ranks first.
    """
    ranked = np.argsort(-probabilities, axis=1, kind="stable")[:, :k]
    return float(np.mean((ranked == labels[:, None]).any(axis=1)))


@dataclass(frozen=True)
class ClassScores:
    """Scores of each class, all (classes,).

    Attributes:
        precision: share of right predictions among those of the class; NaN if it was never predicted.
        recall: share of the class's images that were predicted right; NaN if it has no image.
        f1: 2 TP / (2 TP + FP + FN); NaN if the class has no image and was never predicted.
        support: number of images.
    """

    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    f1: NDArray[np.float64]
    support: NDArray[np.int64]


def class_scores(labels: Ints, predicted: Ints, num_classes: int) -> ClassScores:
    """Returns precision, recall, F1 and number of images of each class."""
    right, support, called = (
        np.bincount(classes, minlength=num_classes)
        for classes in (labels[labels == predicted], labels, predicted)
    )
    with np.errstate(invalid="ignore"):
        return ClassScores(right / called, right / support, 2 * right / (called + support), support)


def macro_auroc(labels: Ints, probabilities: Floats) -> float:
    """Returns the mean area under the ROC curve of each class against the rest; ties count half.

    The area is the Mann-Whitney statistic of the class's probabilities (Hanley & McNeil 1982). Classes
    without an image, or without an image of another class, are left out; NaN if all are.
    """
    is_class = np.arange(probabilities.shape[1]) == labels[:, np.newaxis]
    positive = is_class.sum(axis=0)
    negative = len(labels) - positive
    ranks = np.where(is_class, rankdata(probabilities, axis=0), 0).sum(axis=0)
    defined = (positive > 0) & (negative > 0)
    if not defined.any():
        return math.nan
    positive, negative, ranks = positive[defined], negative[defined], ranks[defined]
    return float(np.mean((ranks - positive * (positive + 1) / 2) / (positive * negative)))


def negative_log_likelihood(labels: Ints, probabilities: Floats) -> float:
    """Returns the mean of -ln p(true class), in nats; a probability of 0 counts as the smallest float."""
    truth = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return float(-np.mean(np.log(np.maximum(truth, np.finfo(np.float64).tiny))))


def brier_score(labels: Ints, probabilities: Floats) -> float:
    """Returns the mean squared distance to the one-hot truth, 0 to 2 (Brier 1950)."""
    truth = np.eye(probabilities.shape[1])[labels]
    return float(np.mean(np.sum((probabilities - truth) ** 2, axis=1)))


@dataclass(frozen=True)
class ReliabilityBins:
    """Images by confidence, all (bins,).

    Attributes:
        upper: upper edge of each bin, which belongs to it.
        count: number of images.
        confidence: mean confidence; NaN where empty.
        accuracy: share of right predictions; NaN where empty.
    """

    upper: NDArray[np.float64]
    count: NDArray[np.int64]
    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]


def reliability_bins(labels: Ints, probabilities: Floats, bins: int = 15) -> ReliabilityBins:
    """Returns the images in bins (a, b] of confidence, all equally wide (Guo et al. 2017)."""
    confidence = probabilities.max(axis=1).astype(np.float64)
    correct = probabilities.argmax(axis=1) == labels
    place = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    count = np.bincount(place, minlength=bins)
    with np.errstate(invalid="ignore"):
        mean_confidence = np.bincount(place, weights=confidence, minlength=bins) / count
        mean_correct = np.bincount(place, weights=correct, minlength=bins) / count
    return ReliabilityBins(np.arange(1, bins + 1) / bins, count, mean_confidence, mean_correct)


def expected_calibration_error(labels: Ints, probabilities: Floats, bins: int = 15) -> float:
    """Returns the mean distance of confidence and accuracy over the bins, weighted by images.

    Naeini et al. 2015.
    """
    filled = reliability_bins(labels, probabilities, bins)
    gaps = np.abs(filled.confidence - filled.accuracy)
    return float(np.nansum(gaps * filled.count) / len(labels))


def calibration_error_by_chance(probabilities: Floats, draws: int = 200, seed: int = 0) -> float:
    """Returns the mean calibration error that perfectly calibrated probabilities show on as many images.

    It is above 0, because the accuracy of few images in a bin differs from their confidence by chance.
    Labels are drawn from the probabilities, and the error of each draw is measured.
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
    """A figure with its 95 % interval.

    Attributes:
        value: the figure of all images; NaN where it is not defined.
        low, high: bounds of the interval; NaN where the figure is defined in no resample.
        n: number of images.
        num_groups: number of groups.
    """

    value: float
    low: float
    high: float
    n: int
    num_groups: int


def estimate(
    statistic: Callable[[NDArray[np.intp]], float],
    groups: Sequence[object] | NDArray[Any],
    resamples: int = 2000,
    seed: int = 0,
) -> Estimate:
    """Returns a statistic with its 95 % percentile interval from a bootstrap of whole groups.

    Groups, not images, are drawn with replacement (the cluster bootstrap, Davison & Hinkley 1997,
    section 3.8), because the answers for images of one group are correlated.

    Args:
        statistic: from the indices of images, (m,) with repeats, to the figure; NaN where undefined.
        groups: (n,), the group of each image.
        resamples: number of draws.
        seed: of the draws; the same seed draws the same groups for every statistic.
    """
    (found,) = estimate_each(lambda images: np.array([statistic(images)]), groups, resamples, seed)
    return found


def estimate_each(
    statistics: Callable[[NDArray[np.intp]], Floats],
    groups: Sequence[object] | NDArray[Any],
    resamples: int = 2000,
    seed: int = 0,
) -> list[Estimate]:
    """Returns the estimates, as `estimate` does, of k statistics that are computed together.

    Args:
        statistics: from the indices of images, (m,) with repeats, to the figures, (k,).
    """
    _, group_of = np.unique(np.asarray(groups).astype(str), return_inverse=True)
    num_groups = int(group_of.max()) + 1
    order = np.argsort(group_of, kind="stable")
    members = np.split(order, np.cumsum(np.bincount(group_of))[:-1])
    generator = np.random.default_rng(seed)
    drawn = [
        statistics(np.concatenate([members[group] for group in draw]))
        for draw in generator.integers(num_groups, size=(resamples, num_groups))
    ]
    values = statistics(np.arange(len(group_of)))
    estimates = []
    for value, resampled in zip(values, np.array(drawn, np.float64).T, strict=True):
        defined = resampled[~np.isnan(resampled)]
        low, high = np.quantile(defined, [0.025, 0.975]) if len(defined) else (math.nan, math.nan)
        estimates.append(Estimate(float(value), float(low), float(high), len(group_of), num_groups))
    return estimates


def mcnemar_exact(only_first_right: int, only_second_right: int) -> float:
    """Returns the two-sided p-value of McNemar's exact test.

    Args:
        only_first_right, only_second_right: numbers of images that one of two models names rightly.
    """
    discordant = only_first_right + only_second_right
    return float(binomtest(only_first_right, discordant).pvalue) if discordant else 1.0


def wilson_interval(successes: int, n: int) -> tuple[float, float]:
    """Returns the 95 % interval of a share of n independent cases (Wilson 1927); 0 to 1 if n is 0."""
    if n == 0:
        return 0.0, 1.0
    interval = binomtest(successes, n).proportion_ci(method="wilson")
    return float(interval.low), float(interval.high)


def share(count: int, n: int) -> dict[str, Any]:
    """Returns a share of n independent cases as JSON data: value, low, high, count, n."""
    low, high = wilson_interval(count, n)
    return {"value": count / n, "low": low, "high": high, "count": count, "n": n}
