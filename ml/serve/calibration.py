"""From a network's scores to confidence that can be believed: NumPy only.

labels is (n,) int, logits and probabilities are (n, classes) float, groups is (n,) of any kind.
All of it is fitted on validation images, never on test images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.integer[Any]]
Floats = NDArray[np.floating[Any]]
Groups = Sequence[object] | NDArray[Any]
MIN_TEMPERATURE, MAX_TEMPERATURE = 0.05, 20.0


def softmax(logits: Floats, temperature: float = 1.0) -> NDArray[np.float64]:
    """Probabilities of logits divided by the temperature; rows sum to 1."""
    scaled = logits.astype(np.float64) / temperature
    powers = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def fit_temperature(logits: Floats, labels: Ints) -> float:
    """The temperature that makes softmax(logits / temperature) likeliest (Guo et al. 2017).

    The likelihood is concave in 1 / temperature, so its slope has one root, found by bisection.
    Log-probabilities do for logits. The result lies in MIN_TEMPERATURE to MAX_TEMPERATURE.

    Raises:
        ValueError: there are no images.
    """
    if len(labels) == 0:
        raise ValueError("A temperature needs at least one image to be fitted on.")
    scores = logits.astype(np.float64)
    truth = scores[np.arange(len(labels)), labels]

    def slope(inverse: float) -> float:
        expected = np.sum(softmax(scores, 1 / inverse) * scores, axis=1)
        return float(np.mean(truth - expected))

    low, high = 1 / MAX_TEMPERATURE, 1 / MIN_TEMPERATURE
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle) > 0 else (low, middle)
    return 2 / (low + high)


def conformal_threshold(
    probabilities: Floats, labels: Ints, groups: Groups | None = None, coverage: float = 0.9
) -> float:
    """The probability a class needs to be in the prediction set (split conformal prediction).

    The score is 1 - p(true class), known as LAC (Sadinle et al. 2019): of all sets with the same
    coverage on average it gives the smallest, and the same image always gets the same set, which the
    adaptive APS score (Romano et al. 2020; Angelopoulos & Bates 2021) only grants without its
    randomisation, at the price of larger sets.

    Images of one group are not exchangeable with each other, groups are: each group weighs 1 in all,
    shared by its images, and one more group of weight 1 stands at infinity (Lee, Barber & Willett 2023).
    The promise is for a random image of a new group: its set holds the true class with at least the
    given probability, on average over such images, not for each class.

    Args:
        groups: each image is its own group when not given.

    Returns:
        The threshold in [0, 1]; 0 (all classes) when there are too few groups for the coverage.
    """
    scores = 1 - probabilities[np.arange(len(labels)), labels].astype(np.float64)
    weights, num_groups = _group_weights(groups, len(labels))
    order = np.argsort(scores)
    mass = np.cumsum(weights[order]) / (num_groups + 1)
    enough = np.flatnonzero(mass >= coverage - 1e-12)
    return float(max(0.0, 1 - scores[order][enough[0]])) if len(enough) else 0.0


def prediction_sets(probabilities: Floats, threshold: float) -> NDArray[np.bool_]:
    """(n, classes): which classes are in each image's set; the most probable one always is."""
    # A hair below, so that the calibration image that set the threshold is in its own set.
    sets = probabilities >= threshold - 1e-9
    sets[np.arange(len(sets)), probabilities.argmax(axis=1)] = True
    return np.asarray(sets)


@dataclass(frozen=True)
class OperatingPoint:
    """Answer when confidence >= threshold: the share answered and the accuracy among those answered."""

    threshold: float
    coverage: float
    accuracy: float
    num_answered: int


def choose_threshold(
    probabilities: Floats,
    labels: Ints,
    target_accuracy: float,
    groups: Groups | None = None,
    min_coverage: float = 0.1,
) -> OperatingPoint:
    """The lowest confidence at which answers are right often enough (selective classification,
    El-Yaniv & Wiener 2010).

    Groups count alike, whatever their number of images. Thresholds that answer less than min_coverage
    are not considered: so few images prove nothing. When none reaches the target, the most accurate
    is returned; its accuracy says so.
    """
    confidence = probabilities.max(axis=1).astype(np.float64)
    correct = probabilities.argmax(axis=1) == labels
    weights, num_groups = _group_weights(groups, len(labels))
    points = []
    for threshold in np.unique(confidence):
        answered = confidence >= threshold
        weight = weights[answered].sum()
        share_right = float(weights[answered & correct].sum() / weight)
        points.append(
            OperatingPoint(float(threshold), float(weight / num_groups), share_right, int(answered.sum()))
        )
    points = [point for point in points if point.coverage >= min_coverage]
    reached = [point for point in points if point.accuracy >= target_accuracy]
    return reached[0] if reached else max(points, key=lambda point: point.accuracy)


def accuracy_by_coverage(
    probabilities: Floats, labels: Ints
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Share of images answered (surest first) and accuracy among them, both (n,)."""
    order = np.argsort(-probabilities.max(axis=1), kind="stable")
    correct = (probabilities.argmax(axis=1) == labels)[order]
    answered = np.arange(1, len(labels) + 1)
    return answered / len(labels), np.cumsum(correct) / answered


def _group_weights(groups: Groups | None, n: int) -> tuple[NDArray[np.float64], int]:
    """(n,) weights, 1 a group in all, and the number of groups."""
    if groups is None:
        return np.ones(n), n
    _, group_of, sizes = np.unique(np.asarray(groups).astype(str), return_inverse=True, return_counts=True)
    return 1 / sizes[group_of], len(sizes)
