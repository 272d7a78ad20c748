"""Metrics of the finding: discrimination, rates at the thresholds, localisation and calibration.

Labels are bool (n,), True for fractured X-rays; probabilities are float (n,). The 95% confidence intervals come from
a bootstrap that resamples whole groups.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml.data.findings import BODY_PARTS, Box, Xray
from ml.data.images import read_image
from ml.evaluate.metrics import estimate, wilson_interval
from ml.progress import ProgressCallback, ProgressEvent, RemainingTime
from ml.serve.finding import Finding, FindingPredictor, Mark

Floats = NDArray[np.floating[Any]]
Bools = NDArray[np.bool_]

BINS = 10


@dataclass(frozen=True, eq=False)
class Answered:
    """The answers for n X-rays, with their labels.

    Attributes:
        xrays: The X-rays.
        probabilities: float (n,), calibrated probabilities; NaN for X-rays that are not recognised.
        seen: bool (n,), whether the finding is "fracture seen".
        not_seen: bool (n,), whether the finding is "no fracture seen".
        hits: bool (n,), whether the centre of the first mark lies in a box; False without a mark.
    """

    xrays: Sequence[Xray]
    probabilities: Floats
    seen: Bools
    not_seen: Bools
    hits: Bools

    @property
    def labels(self) -> Bools:
        return np.array([xray.fractured for xray in self.xrays])

    @property
    def recognised(self) -> Bools:
        return ~np.isnan(self.probabilities)

    @property
    def doubtful(self) -> Bools:
        return self.recognised & ~self.seen & ~self.not_seen


def answer(predictor: FindingPredictor, xrays: Sequence[Xray], on_progress: ProgressCallback) -> Answered:
    """Predicts the findings of X-rays, which are read from their files.

    Raises:
        ml.data.image_limits.ImageRefused: A file cannot be used.
    """
    remaining, findings = RemainingTime(len(xrays)), []
    for number, xray in enumerate(xrays, start=1):
        findings += predictor.predict([read_image(xray.path).pixels])
        if number % 50 == 0 or number == len(xrays):
            on_progress(ProgressEvent("answer", 1, 1, number, len(xrays), {}, remaining.estimate(number)))
    return Answered(
        xrays,
        np.array([np.nan if found.probability is None else found.probability for found in findings]),
        np.array([found.finding == "fracture seen" for found in findings]),
        np.array([found.finding == "no fracture seen" for found in findings]),
        np.array([_first_mark_hits(found, xray.boxes) for found, xray in zip(findings, xrays, strict=True)]),
    )


def figures(answered: Answered) -> dict[str, Any]:
    """Returns the metrics for all X-rays, for those without hardware and for each body part.

    X-rays that are not recognised have no finding. They count as neither "fracture seen" nor "no fracture seen" and
    are excluded from the AUROC, the sensitivities, the calibration error and the Brier score.
    """
    everything = np.ones(len(answered.xrays), bool)
    found = {"all": _metrics(answered, everything)}
    hardware = np.array([bool(xray.hardware) for xray in answered.xrays])
    if any(xray.hardware is not None for xray in answered.xrays):
        found["without_hardware"] = _metrics(answered, ~hardware)
    for number, body_part in enumerate(BODY_PARTS):
        shown = np.array([bool(xray.body_parts and xray.body_parts[number]) for xray in answered.xrays])
        if shown.any():
            found[body_part] = _metrics(answered, shown)
    return found


def auroc(labels: Bools, scores: Floats) -> float:
    """Returns the area under the ROC curve, in which ties count half; NaN if a class has no X-rays."""
    positives = int(labels.sum())
    negatives = len(labels) - positives
    if not positives or not negatives:
        return float("nan")
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    return float((ranks[labels].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def sensitivity_at(labels: Bools, scores: Floats, specificity: float) -> float:
    """Returns the sensitivity at the threshold with the given specificity."""
    if not labels.any() or labels.all():
        return float("nan")
    threshold = np.quantile(scores[~labels], specificity, method="higher")
    return float((scores[labels] > threshold).mean())


def calibration_error(labels: Bools, probabilities: Floats, bins: int = BINS) -> float:
    """Returns the expected calibration error with equal-width bins (Naeini et al. 2015)."""
    bin_of = np.minimum((probabilities * bins).astype(int), bins - 1)
    count = np.bincount(bin_of, minlength=bins)
    expected = np.bincount(bin_of, weights=probabilities, minlength=bins)
    observed = np.bincount(bin_of, weights=labels.astype(float), minlength=bins)
    return float(np.abs(expected - observed).sum() / max(count.sum(), 1))


def _metrics(answered: Answered, chosen: Bools) -> dict[str, Any]:
    labels, probabilities = answered.labels, answered.probabilities
    groups = np.array([xray.group for xray in answered.xrays])
    recognised, boxed = answered.recognised, np.array([bool(xray.boxes) for xray in answered.xrays])
    scored, fractured, unfractured = chosen & recognised, chosen & labels, chosen & ~labels

    def share(of: Bools, among: Bools) -> dict[str, Any]:
        found = _estimate(lambda i: float(of[among][i].mean()), groups[among])
        if found["value"] in (0.0, 1.0):
            # All resamples are equal, so the bootstrap gives no interval.
            found["low"], found["high"] = wilson_interval(int(of[among].sum()), found["n"])
        return found

    def of_scores(statistic: Callable[[Bools, Floats], float]) -> dict[str, Any]:
        return _estimate(lambda i: statistic(labels[scored][i], probabilities[scored][i]), groups[scored])

    found: dict[str, Any] = {
        "n": int(chosen.sum()),
        "fractured": int(fractured.sum()),
        "refused": int((chosen & ~recognised).sum()),
        "auroc": of_scores(auroc),
        "sensitivity_at_90_specificity": of_scores(lambda truth, score: sensitivity_at(truth, score, 0.90)),
        "sensitivity_at_95_specificity": of_scores(lambda truth, score: sensitivity_at(truth, score, 0.95)),
        "fracture_seen_among_fractured": share(answered.seen, fractured),
        "fracture_seen_among_unfractured": share(answered.seen, unfractured),
        "no_fracture_seen_among_fractured": share(answered.not_seen, fractured),
        "no_fracture_seen_among_unfractured": share(answered.not_seen, unfractured),
        # How often each answer is right. These depend on the share of fractured X-rays.
        "fractured_among_fracture_seen": share(labels, chosen & answered.seen),
        "fractured_among_doubtful": share(labels, chosen & answered.doubtful),
        "fractured_among_no_fracture_seen": share(labels, chosen & answered.not_seen),
        "first_mark_in_a_box": share(answered.hits, fractured & boxed),
        "calibration_error": of_scores(calibration_error),
        "brier": of_scores(lambda truth, scores: float(np.mean((scores - truth) ** 2))),
    }
    return found


def _estimate(statistic: Callable[[NDArray[np.intp]], float], groups: NDArray[Any]) -> dict[str, Any]:
    if len(groups) == 0:
        return {"value": None, "low": None, "high": None, "n": 0}
    found = estimate(statistic, groups, resamples=1000)
    values = {"value": found.value, "low": found.low, "high": found.high}
    return {**{name: None if np.isnan(value) else value for name, value in values.items()}, "n": found.n}


def is_in_a_box(mark: Mark, boxes: Sequence[Box]) -> bool:
    """Returns whether the centre of a mark lies in one of the boxes (x, y, width, height)."""
    x, y = mark.x + mark.width / 2, mark.y + mark.height / 2
    return any(left <= x <= left + width and top <= y <= top + height for left, top, width, height in boxes)


def _first_mark_hits(finding: Finding, boxes: Sequence[Box]) -> bool:
    return bool(finding.marks) and is_in_a_box(finding.marks[0], boxes)
