"""The figures of the finding."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from ml.data.findings import Xray
from ml.evaluate.finding import Answered, auroc, calibration_error, figures, sensitivity_at


def xray(number: int, fractured: bool, body_part: int, hardware: bool = False) -> Xray:
    body_parts = tuple(index == body_part for index in range(4))
    boxes = ((10.0, 10.0, 20.0, 20.0),) if fractured else ()
    return Xray(
        Path(f"{number}.png"), str(number), f"group-{number // 2}", fractured, boxes, body_parts, hardware
    )


def test_the_auroc_is_that_of_scikit_learn() -> None:
    random = np.random.default_rng(0)
    labels, scores = random.random(200) < 0.3, np.round(random.random(200), 1)
    assert auroc(labels, scores) == pytest.approx(roc_auc_score(labels, scores))


def test_the_auroc_of_one_class_is_unknown() -> None:
    assert np.isnan(auroc(np.ones(3, bool), np.arange(3.0)))


def test_the_sensitivity_counts_fractures_above_the_share_of_unfractured() -> None:
    scores = np.array([*np.arange(10) / 10, 0.85, 0.95, 0.05])
    labels = np.array([False] * 10 + [True] * 3)
    assert sensitivity_at(labels, scores, 0.9) == pytest.approx(1 / 3)


def test_the_calibration_error_is_the_gap_of_the_bins() -> None:
    probabilities = np.array([0.25] * 4 + [0.75] * 4)
    labels = np.array([True, False, False, False, True, True, True, True])
    assert calibration_error(labels, probabilities) == pytest.approx((0 * 4 + 0.25 * 4) / 8)


def test_figures_are_of_all_without_metal_and_by_part() -> None:
    xrays = [xray(number, number % 3 == 0, number % 2, hardware=number == 0) for number in range(30)]
    labels = np.array([each.fractured for each in xrays])
    probabilities = np.where(labels, 0.9, 0.1)
    probabilities[1] = np.nan
    found = figures(Answered(xrays, probabilities, labels, ~labels & ~np.isnan(probabilities), labels))
    assert set(found) == {"all", "without_hardware", "hand", "leg"}
    everything = found["all"]
    assert (everything["n"], everything["fractured"], everything["refused"]) == (30, 10, 1)
    assert found["without_hardware"]["n"] == 29
    assert everything["auroc"]["value"] == 1
    # A share of ten of ten keeps an interval, although all resamples are equal.
    assert everything["first_mark_in_a_box"] == {
        "value": 1,
        "low": pytest.approx(0.722, abs=1e-3),
        "high": 1,
        "n": 10,
    }
    assert everything["fractured_among_fracture_seen"]["value"] == 1
    assert everything["fractured_among_no_fracture_seen"]["value"] == 0
    assert everything["fractured_among_doubtful"]["value"] is None
    # What is not recognised is not called unfractured.
    assert everything["no_fracture_seen_among_unfractured"]["value"] == pytest.approx(19 / 20)
