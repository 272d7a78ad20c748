"""Predicts the uncalibrated scores of labelled X-rays with a finding bundle, without Keras."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ml.data.findings import Xray
from ml.data.images import read_image
from ml.evaluate.finding import is_in_a_box
from ml.evaluate.finding_calibration import Scored, mark_threshold
from ml.progress import ProgressCallback, ProgressEvent, RemainingTime
from ml.serve.finding import FindingPredictor, FindingScores


@dataclass(frozen=True)
class ScoredXray:
    """An X-ray with the scores of the network; None if it is not recognised."""

    xray: Xray
    scores: FindingScores | None


def predict_scores(
    predictor: FindingPredictor, xrays: Sequence[Xray], on_progress: ProgressCallback
) -> list[ScoredXray]:
    """Predicts the scores of X-rays, which are read from their files.

    Raises:
        ml.data.image_limits.ImageRefused: A file cannot be used.
    """
    remaining, predicted = RemainingTime(len(xrays)), []
    for number, xray in enumerate(xrays, start=1):
        predicted.append(ScoredXray(xray, predictor.scores(read_image(xray.path).pixels)))
        if number % 10 == 0 or number == len(xrays):
            on_progress(ProgressEvent("predict", 1, 1, number, len(xrays), {}, remaining.estimate(number)))
    return predicted


def join_scores(predicted: Sequence[ScoredXray], earlier: Scored | None = None) -> Scored:
    """Returns the scores of recognised X-rays as arrays.

    Args:
        predicted: The X-rays, all of them recognised.
        earlier: Scores of the network that this one replaces, for the same X-rays.
    """
    scores = [(each.xray, each.scores) for each in predicted if each.scores is not None]
    return Scored(
        [xray for xray, _ in scores],
        np.array([found.map_score for _, found in scores]),
        np.array([found.pooled_score for _, found in scores]),
        np.array([bool(found.marks) and is_in_a_box(found.marks[0], xray.boxes) for xray, found in scores]),
        np.array([found.other_source for _, found in scores]),
        earlier,
    )


def fit_mark_threshold(predicted: Sequence[ScoredXray], old: float) -> float:
    """Returns the score threshold of further marks: the old one, unless all fractures have boxes."""
    if not all(each.xray.boxes for each in predicted if each.xray.fractured):
        return old
    false_positives = [
        mark.score
        for each in predicted
        for mark in (each.scores.marks if each.scores else ())
        if not is_in_a_box(mark, each.xray.boxes)
    ]
    return mark_threshold(false_positives, len(predicted))
