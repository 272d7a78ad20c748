"""Fits the calibration and the thresholds of the finding to the scores of labelled X-rays, without Keras."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml.data.findings import Xray
from ml.data.folds import grouped_folds
from ml.evaluate.finding import Answered
from ml.evaluate.finding_aims import ALARMED, FALSE_MARKS, MISSED
from ml.serve.finding import FindingCalibration

FOLDS = 5
# L2 penalty of the logistic regression.
PENALTY = 1e-3


@dataclass(frozen=True, eq=False)
class Scored:
    """The uncalibrated scores of n X-rays, with their labels.

    Attributes:
        xrays: The X-rays.
        map_scores: float64 (n,), the log-sum-exp of each map.
        pooled_scores: float64 (n,), the pooled logits.
        hits: bool (n,), whether the centre of the first mark lies in a box.
    """

    xrays: Sequence[Xray]
    map_scores: NDArray[np.float64]
    pooled_scores: NDArray[np.float64]
    hits: NDArray[np.bool_]

    @property
    def labels(self) -> NDArray[np.bool_]:
        return np.array([xray.fractured for xray in self.xrays])

    @property
    def groups(self) -> list[str]:
        return [xray.group for xray in self.xrays]

    def subset(self, chosen: NDArray[np.bool_]) -> Scored:
        """Returns the chosen X-rays, bool (n,)."""
        xrays = [self.xrays[number] for number in np.flatnonzero(chosen).tolist()]
        return Scored(xrays, self.map_scores[chosen], self.pooled_scores[chosen], self.hits[chosen])


def calibrate(scored: Scored, mark_from: float) -> dict[str, Any]:
    """Returns the calibration and the thresholds for the card.

    Args:
        scored: X-rays with and without a fracture.
        mark_from: Lowest score of a second or third mark.
    """
    labels = scored.labels
    values = np.stack([scored.map_scores, scored.pooled_scores], axis=1)
    map_weight, pooled_weight, bias = (float(weight) for weight in logistic_regression(values, labels))
    without_thresholds = FindingCalibration(map_weight, pooled_weight, bias, 1.0, 0.0, 1.0)
    probabilities = without_thresholds.probability(scored.map_scores, scored.pooled_scores)
    seen_from = float(np.quantile(probabilities[~labels], 1 - ALARMED, method="higher"))
    not_seen_below = float(np.quantile(probabilities[labels], MISSED, method="lower"))
    return {
        "map_weight": map_weight,
        "pooled_weight": pooled_weight,
        "bias": bias,
        # If one threshold meets both targets, no answer is doubtful.
        "seen_from": max(seen_from, not_seen_below),
        "not_seen_below": not_seen_below,
        "mark_from": mark_from,
        "missed_aim": MISSED,
        "alarmed_aim": ALARMED,
        "share_of_fractured": float(labels.mean()),
        "n": len(labels),
        "groups": len(set(scored.groups)),
    }


def mark_threshold(false_positives: Iterable[float], num_xrays: int) -> float:
    """Returns the score threshold at which there are FALSE_MARKS false-positive marks per X-ray.

    Args:
        false_positives: Scores of the marks outside of the boxes, on all X-rays.
        num_xrays: Number of X-rays.
    """
    highest_first = sorted(false_positives, reverse=True)
    if not highest_first:
        return 1.0
    return float(highest_first[min(int(FALSE_MARKS * num_xrays), len(highest_first) - 1)])


def answer(scored: Scored, calibration: FindingCalibration) -> Answered:
    """Returns the answers that a calibration gives."""
    probabilities = np.asarray(calibration.probability(scored.map_scores, scored.pooled_scores))
    seen = probabilities >= calibration.seen_from
    not_seen = ~seen & (probabilities < calibration.not_seen_below)
    return Answered(scored.xrays, probabilities, seen, not_seen, scored.hits & ~not_seen)


def answer_cross_fitted(scored: Scored, seed: int) -> Answered:
    """Returns the answers with a cross-fitted calibration: each fold of groups is calibrated on the others."""
    num_folds = min(FOLDS, len(set(scored.groups)))
    folds = grouped_folds(scored.labels.astype(np.int64), scored.groups, num_folds, seed)
    probabilities = np.zeros(len(folds))
    seen, not_seen, hits = (np.zeros(len(folds), bool) for _ in range(3))
    for fold in np.unique(folds):
        # The score threshold of further marks changes neither the finding nor the first mark.
        card = {"calibration": calibrate(scored.subset(folds != fold), mark_from=1.0)}
        found = answer(scored.subset(folds == fold), FindingCalibration.of(card))
        for values, of_fold in (
            (probabilities, found.probabilities),
            (seen, found.seen),
            (not_seen, found.not_seen),
            (hits, found.hits),
        ):
            values[folds == fold] = of_fold
    return Answered(scored.xrays, probabilities, seen, not_seen, hits)


def logistic_regression(values: NDArray[np.float64], labels: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Fits a logistic regression by Newton's method, with a small L2 penalty.

    Platt's targets (Platt 1999) keep the weights finite if the classes are perfectly separable.

    Args:
        values: float64 (n, features).
        labels: bool (n,).

    Returns:
        float64 (features + 1,), the weight of each feature and the bias.
    """
    std, mean = values.std(axis=0) + 1e-9, values.mean(axis=0)
    x = np.concatenate([(values - mean) / std, np.ones((len(values), 1))], axis=1)
    positives, negatives = labels.sum(), (~labels).sum()
    targets = np.where(labels, (positives + 1) / (positives + 2), 1 / (negatives + 2))

    def loss(weights: NDArray[np.float64]) -> float:
        logits = x @ weights
        return float((np.logaddexp(0, logits) - targets * logits).sum() + PENALTY / 2 * weights @ weights)

    weights = np.zeros(x.shape[1])
    for _ in range(50):
        probabilities = 1 / (1 + np.exp(-np.clip(x @ weights, -30, 30)))
        gradient = x.T @ (probabilities - targets) + PENALTY * weights
        curvature = (x * (probabilities * (1 - probabilities))[:, np.newaxis]).T @ x
        step = np.linalg.solve(curvature + PENALTY * np.eye(len(weights)), gradient)
        # A full step can overshoot where few X-rays are nearly separable.
        while loss(weights - step) > loss(weights) and np.abs(step).max() > 1e-9:
            step /= 2
        weights = weights - step
    scaled = weights[:-1] / std
    return np.append(scaled, weights[-1] - scaled @ mean)
