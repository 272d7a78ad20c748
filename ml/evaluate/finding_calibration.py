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
from ml.evaluate.finding_aims import ALARMED, FALSE_MARKS, MIN_XRAYS, MISSED
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
        other_source: bool (n,), whether the X-ray is more similar to those of other sources.
        earlier: Scores of the network that this one replaces, for the same X-rays; None if it replaces none.
    """

    xrays: Sequence[Xray]
    map_scores: NDArray[np.float64]
    pooled_scores: NDArray[np.float64]
    hits: NDArray[np.bool_]
    other_source: NDArray[np.bool_]
    earlier: Scored | None = None

    @property
    def labels(self) -> NDArray[np.bool_]:
        return np.array([xray.fractured for xray in self.xrays])

    @property
    def groups(self) -> list[str]:
        return [xray.group for xray in self.xrays]

    def subset(self, chosen: NDArray[np.bool_]) -> Scored:
        """Returns the chosen X-rays, bool (n,)."""
        xrays = [self.xrays[number] for number in np.flatnonzero(chosen).tolist()]
        return Scored(
            xrays,
            self.map_scores[chosen],
            self.pooled_scores[chosen],
            self.hits[chosen],
            self.other_source[chosen],
            self.earlier.subset(chosen) if self.earlier else None,
        )


def calibrate(scored: Scored, mark_from: float, old: FindingCalibration | None = None) -> dict[str, Any]:
    """Returns the calibration and the thresholds for the card.

    With at least MIN_XRAYS fractures of each source, each lower threshold is fitted to the fractures of its source.
    Otherwise not_seen_below is fitted to all fractures, and the lower threshold of other sources keeps its rank: as
    many of the X-rays lie below it as before. It is never above not_seen_below.

    Args:
        scored: X-rays with and without a fracture.
        mark_from: Lowest score of a second or third mark.
        old: The calibration that this one replaces. If it has a lower threshold of other sources, so has the new one.
    """
    labels = scored.labels
    values = np.stack([scored.map_scores, scored.pooled_scores], axis=1)
    map_weight, pooled_weight, bias = (float(weight) for weight in increasing_regression(values, labels))
    without_thresholds = FindingCalibration(map_weight, pooled_weight, bias, 1.0, 0.0, 1.0)
    probabilities = without_thresholds.probability(scored.map_scores, scored.pooled_scores)
    seen_from = float(np.quantile(probabilities[~labels], 1 - ALARMED, method="higher"))
    has_other_threshold = old is not None and old.not_seen_below_other_sources is not None
    others, firsts = labels & scored.other_source, labels & ~scored.other_source
    are_fitted_apart = has_other_threshold and min(others.sum(), firsts.sum()) >= MIN_XRAYS
    not_seen_below = _missed_quantile(probabilities[firsts if are_fitted_apart else labels])
    other_sources: dict[str, Any] = {}
    if old is not None and has_other_threshold:
        found = (
            _missed_quantile(probabilities[others])
            if are_fitted_apart
            else _of_same_rank(scored, probabilities, old)
        )
        other_sources = {
            "not_seen_below_other_sources": min(found, not_seen_below),
            "other_sources_refitted": bool(are_fitted_apart),
        }
    return {
        "map_weight": map_weight,
        "pooled_weight": pooled_weight,
        "bias": bias,
        # If one threshold meets both targets, no answer is doubtful.
        "seen_from": max(seen_from, not_seen_below),
        "not_seen_below": not_seen_below,
        **other_sources,
        "mark_from": mark_from,
        "missed_aim": MISSED,
        "alarmed_aim": ALARMED,
        "share_of_fractured": float(labels.mean()),
        "n": len(labels),
        "groups": len(set(scored.groups)),
    }


def _missed_quantile(probabilities: NDArray[np.float64]) -> float:
    """Returns the probability of fractures below which MISSED of them lie."""
    return float(np.quantile(probabilities, MISSED, method="lower"))


def _of_same_rank(scored: Scored, probabilities: NDArray[np.float64], old: FindingCalibration) -> float:
    """Returns the new probability below which as many X-rays lie as below the old threshold of other sources."""
    earlier = scored.earlier or scored
    before = old.probability(earlier.map_scores, earlier.pooled_scores)
    rank = int((before < old.not_seen_below_other_sources).sum())
    return float(np.append(np.sort(probabilities), 1.0)[rank])


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
    names = np.array(
        [
            calibration.name(probability, other_source)
            for probability, other_source in zip(
                probabilities.tolist(), scored.other_source.tolist(), strict=True
            )
        ]
    )
    seen, not_seen = names == "fracture seen", names == "no fracture seen"
    return Answered(scored.xrays, probabilities, seen, not_seen, scored.hits & ~not_seen)


def answer_cross_fitted(scored: Scored, seed: int, old: FindingCalibration | None = None) -> Answered:
    """Returns the answers with a cross-fitted calibration: each fold of groups is calibrated on the others.

    Args:
        scored: X-rays with and without a fracture.
        seed: Seed of the folds.
        old: The calibration that is replaced, as in calibrate.
    """
    num_folds = min(FOLDS, len(set(scored.groups)))
    folds = grouped_folds(scored.labels.astype(np.int64), scored.groups, num_folds, seed)
    probabilities = np.zeros(len(folds))
    seen, not_seen, hits = (np.zeros(len(folds), bool) for _ in range(3))
    for fold in np.unique(folds):
        # The score threshold of further marks changes neither the finding nor the first mark.
        card = {"calibration": calibrate(scored.subset(folds != fold), mark_from=1.0, old=old)}
        found = answer(scored.subset(folds == fold), FindingCalibration.of(card))
        for values, of_fold in (
            (probabilities, found.probabilities),
            (seen, found.seen),
            (not_seen, found.not_seen),
            (hits, found.hits),
        ):
            values[folds == fold] = of_fold
    return Answered(scored.xrays, probabilities, seen, not_seen, hits)


def increasing_regression(values: NDArray[np.float64], labels: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Fits a logistic regression without negative weights, so that a higher score never lowers the probability.

    A feature with a negative weight is left out, the most negative first, and the others are fitted again.

    Args:
        values: float64 (n, features).
        labels: bool (n,).

    Returns:
        float64 (features + 1,), the weight of each feature, at least 0, and the bias.
    """
    used = list(range(values.shape[1]))
    while True:
        weights = np.zeros(values.shape[1] + 1)
        weights[[*used, -1]] = logistic_regression(values[:, used], labels)
        in_stds = weights[:-1] * values.std(axis=0)
        if in_stds.min() >= 0:
            return weights
        used.remove(int(in_stds.argmin()))


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
