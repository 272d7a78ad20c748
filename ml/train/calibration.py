"""Fits a bundle's calibration to answers for images that the models were not trained on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml.data.folds import grouped_folds
from ml.evaluate.evaluation import measure
from ml.serve.calibration import (
    choose_threshold,
    conformal_threshold,
    fit_temperature,
    prediction_sets,
    softmax,
)
from ml.train.cross_validation import HeldOutPredictions

# Share of images whose prediction set holds the true class.
COVERAGE = 0.9
# Accuracy among the images whose confidence reaches the threshold below which the model abstains.
SELECTIVE_ACCURACY = 0.5
FOLDS = 5
# Quantile of the temperature over bootstrap samples of the groups. On new sources the model is right less often than in
# cross-validation, and too much confidence does more harm than too little.
TEMPERATURE_QUANTILE = 0.975
RESAMPLES = 200
# A threshold or quantile of fewer images is not informative; the bundle then answers without.
MIN_IMAGES = 20


def calibrate(held_out: HeldOutPredictions, seed: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Fits the calibration of a card and measures it.

    Args:
        held_out: logits for images that the models were not trained on.
        seed: of the folds.

    Returns:
        The card's calibration, and its figures on the held-out images as in ml.evaluate.evaluation, for
        which each image is calibrated by images of other groups only. With fewer than MIN_IMAGES images
        the calibration changes nothing, and there are no figures.
    """
    if len(held_out.labels) < MIN_IMAGES:
        return {"temperature": 1.0, "conformal_threshold": 0.0, "abstain_below": 0.0, "n": 0}, {}
    labels, groups = held_out.labels, held_out.groups
    temperature = fit_upper_temperature(held_out.logits, labels, groups, seed)
    probabilities = softmax(held_out.logits, temperature)
    point = choose_threshold(probabilities, labels, SELECTIVE_ACCURACY, groups)
    numbers = {"n": len(labels), "groups": len(set(groups))}
    calibration = {
        "temperature": temperature,
        "conformal_coverage": COVERAGE,
        "conformal_threshold": conformal_threshold(probabilities, labels, groups, COVERAGE),
        "abstain_below": point.threshold,
        "selective_accuracy": {
            "aim": SELECTIVE_ACCURACY,
            "reached": point.accuracy,
            "answered": point.coverage,
            "n": point.num_answered,
        },
        **numbers,
    }
    probabilities, sets = _calibrate_by_fold(held_out, seed)
    return calibration, {**numbers, **measure(labels, probabilities, sets, groups)}


def fit_upper_temperature(
    logits: NDArray[np.float32],
    labels: NDArray[np.int64],
    groups: Sequence[str] | NDArray[np.str_],
    seed: int,
) -> float:
    """Returns the upper end of the 95% interval of the temperature, by a bootstrap of groups.

    Args:
        logits: (n, classes).
        labels: (n,).
        groups: (n,). Each drawn group has the same weight.
        seed: Seed of the draws.
    """
    _, group_of = np.unique(np.asarray(groups), return_inverse=True)
    members = [np.flatnonzero(group_of == number) for number in range(group_of.max() + 1)]
    random = np.random.default_rng(seed)
    temperatures = []
    for draw in random.integers(len(members), size=(RESAMPLES, len(members))):
        images = np.concatenate([members[group] for group in draw])
        drawn = np.repeat(np.arange(len(draw)), [len(members[group]) for group in draw])
        temperatures.append(fit_temperature(logits[images], labels[images], drawn))
    return float(np.quantile(temperatures, TEMPERATURE_QUANTILE))


def num_folds(groups: list[str]) -> int:
    """Returns FOLDS, or the number of groups if it is smaller."""
    return min(FOLDS, len(set(groups)))


def _calibrate_by_fold(
    held_out: HeldOutPredictions, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Returns probabilities and prediction sets, (n, classes), fitted to the images of other folds."""
    labels, groups = held_out.labels, np.array(held_out.groups)
    folds = grouped_folds(labels, held_out.groups, num_folds(held_out.groups), seed)
    probabilities = np.zeros(held_out.logits.shape)
    sets = np.zeros(held_out.logits.shape, bool)
    for fold in np.unique(folds):
        inside, outside = folds == fold, folds != fold
        temperature = fit_upper_temperature(held_out.logits[outside], labels[outside], groups[outside], seed)
        others = softmax(held_out.logits[outside], temperature)
        threshold = conformal_threshold(others, labels[outside], groups[outside], COVERAGE)
        probabilities[inside] = softmax(held_out.logits[inside], temperature)
        sets[inside] = prediction_sets(probabilities[inside], threshold)
    return probabilities, sets
