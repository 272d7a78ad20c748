"""Calibrates probabilities, prediction sets and the abstention threshold (NumPy only).

All functions take labels as int (n,), logits and probabilities as float (n, classes), and groups as (n,) of any type.
Parameters must be fitted on images that the model was not trained on, and never on test images.
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
    """Returns softmax(logits / temperature).

    Args:
        logits: (..., classes).
        temperature: Positive divisor of the logits.

    Returns:
        float64 (..., classes); the last axis sums to 1.
    """
    scaled = logits.astype(np.float64) / temperature
    powers = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def fit_temperature(logits: Floats, labels: Ints, groups: Groups | None = None) -> float:
    """Fits the temperature that minimises the negative log-likelihood (Guo et al. 2017).

    The log-likelihood is concave in 1 / temperature, so its derivative has one root, which is found by bisection.
    Each group has the same weight, because images of new sources come from groups of their own: a model is right more
    often on sources with many copies and views.

    Args:
        logits: (n, classes); log-probabilities give the same result.
        labels: (n,).
        groups: (n,); None makes each image its own group.

    Returns:
        The temperature, from MIN_TEMPERATURE to MAX_TEMPERATURE.

    Raises:
        ValueError: There are no images.
    """
    if len(labels) == 0:
        raise ValueError("A temperature needs at least one image to be fitted on.")
    scores = logits.astype(np.float64)
    truth = scores[np.arange(len(labels)), labels]
    weights, _ = _group_weights(groups, len(labels))

    def slope(inverse: float) -> float:
        expected = np.sum(softmax(scores, 1 / inverse) * scores, axis=1)
        return float(weights @ (truth - expected))

    low, high = 1 / MAX_TEMPERATURE, 1 / MIN_TEMPERATURE
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle) > 0 else (low, middle)
    return 2 / (low + high)


def conformal_threshold(
    probabilities: Floats, labels: Ints, groups: Groups | None = None, coverage: float = 0.9
) -> float:
    """Fits the threshold of split conformal prediction sets.

    The score is 1 - p(true class), known as LAC (Sadinle et al. 2019). Of all sets with the same marginal coverage it
    gives the smallest, and it is deterministic; the adaptive score APS (Romano et al. 2020; Angelopoulos & Bates 2021)
    is deterministic only without its randomisation, which makes sets larger.

    Images of one group are not exchangeable, groups are: each group has a total weight of 1, shared by its images, and
    one more group of weight 1 is placed at infinity (Lee, Barber & Willett 2023). The set of a random image of a new
    group contains the true class with at least the given coverage, on average over such images and not for each class.

    Args:
        probabilities: (n, classes).
        labels: (n,).
        groups: (n,); None makes each image its own group.
        coverage: Probability that a set contains the true class.

    Returns:
        Minimum probability of the classes in a set, in [0, 1]; 0 (all classes) if there are too few groups.
    """
    scores = 1 - probabilities[np.arange(len(labels)), labels].astype(np.float64)
    weights, num_groups = _group_weights(groups, len(labels))
    order = np.argsort(scores)
    mass = np.cumsum(weights[order]) / (num_groups + 1)
    enough = np.flatnonzero(mass >= coverage - 1e-12)
    return float(max(0.0, 1 - scores[order][enough[0]])) if len(enough) else 0.0


def prediction_sets(probabilities: Floats, threshold: float) -> NDArray[np.bool_]:
    """Returns which classes are in the prediction set of each image; the most probable class always is.

    Args:
        probabilities: (n, classes).
        threshold: Result of conformal_threshold.

    Returns:
        bool (n, classes).
    """
    # The tolerance keeps the calibration image that defined the threshold in its own set.
    sets = probabilities >= threshold - 1e-9
    sets[np.arange(len(sets)), probabilities.argmax(axis=1)] = True
    return np.asarray(sets)


@dataclass(frozen=True)
class OperatingPoint:
    """A confidence threshold for abstention and what it achieves.

    Attributes:
        threshold: Images with at least this confidence are answered.
        coverage: Share of the images that are answered, with equal weight for each group.
        accuracy: Accuracy of the answered images, with equal weight for each group.
        num_answered: Number of images that are answered.
    """

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
    """Chooses the lowest confidence threshold that reaches a target accuracy.

    This is selective classification (El-Yaniv & Wiener 2010).

    Args:
        probabilities: (n, classes).
        labels: (n,).
        target_accuracy: Accuracy to reach among the answered images.
        groups: (n,); each group has the same weight. None makes each image its own group.
        min_coverage: Minimum share of answered images; the accuracy of fewer is too uncertain.

    Returns:
        The operating point; the most accurate one if none reaches the target.
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
    """Returns the accuracy-coverage curve, with the most confident images first.

    Args:
        probabilities: (n, classes).
        labels: (n,).

    Returns:
        The share of answered images and the accuracy among them, both float64 (n,).
    """
    order = np.argsort(-probabilities.max(axis=1), kind="stable")
    correct = (probabilities.argmax(axis=1) == labels)[order]
    answered = np.arange(1, len(labels) + 1)
    return answered / len(labels), np.cumsum(correct) / answered


def _group_weights(groups: Groups | None, n: int) -> tuple[NDArray[np.float64], int]:
    """Returns the weight of each image, (n,), which sum to 1 within each group, and the number of groups."""
    if groups is None:
        return np.ones(n), n
    _, group_of, sizes = np.unique(np.asarray(groups).astype(str), return_inverse=True, return_counts=True)
    return 1 / sizes[group_of], len(sizes)
