"""The calibration of the finding: the regression, the thresholds and the cross-fitted answers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ml.data.findings import Xray
from ml.evaluate.finding_calibration import (
    Scored,
    answer,
    answer_cross_fitted,
    calibrate,
    increasing_regression,
    logistic_regression,
    mark_threshold,
)
from ml.serve.finding import FindingCalibration


def scored(count: int = 4000, seed: int = 0, others: float = 0.0) -> Scored:
    """X-rays in groups of five, a share of other sources; the probability is sigmoid(map + 0.5 pooled - 1)."""
    random = np.random.default_rng(seed)
    map_scores, pooled = random.normal(size=count) * 2, random.normal(size=count)
    labels = random.random(count) < 1 / (1 + np.exp(-(map_scores + 0.5 * pooled - 1)))
    xrays = [
        Xray(Path(f"{number}.png"), str(number), f"g{number // 5}", bool(label))
        for number, label in enumerate(labels)
    ]
    return Scored(xrays, map_scores, pooled, labels, random.random(count) < others)


def test_the_regression_finds_what_the_labels_follow() -> None:
    random = np.random.default_rng(0)
    values = random.normal(size=(4000, 2)) * (5, 1)
    labels = random.random(4000) < 1 / (1 + np.exp(-(0.4 * values[:, 0] - 1.0)))
    first, second, bias = logistic_regression(values, labels)
    assert (first, second, bias) == pytest.approx((0.4, 0, -1), abs=0.15)


def test_the_regression_stays_finite_where_labels_are_separated() -> None:
    values = np.arange(20.0)[:, np.newaxis]
    assert np.isfinite(logistic_regression(values, values[:, 0] > 9)).all()


def test_the_regression_does_not_diverge_on_few_values_with_an_outlier() -> None:
    random = np.random.default_rng(3)
    for _ in range(50):
        values = random.normal(size=(40, 2)) * (1, 100)
        values[0] *= 1000
        labels = values[:, 0] + random.normal(size=40) * 0.05 > 0
        weights = logistic_regression(values, labels)
        probabilities = 1 / (1 + np.exp(-np.clip(values @ weights[:2] + weights[2], -50, 50)))
        assert np.isfinite(weights).all()
        # The mean probability of a regression with a bias is the mean of its targets.
        assert probabilities.mean() == pytest.approx(labels.mean(), abs=0.03)


def test_the_thresholds_meet_the_stated_aims() -> None:
    xrays = scored()
    card = calibrate(xrays, mark_from=0.4)
    found = answer(xrays, FindingCalibration.of({"calibration": card}))
    assert found.not_seen[xrays.labels].mean() == pytest.approx(card["missed_aim"], abs=0.002)
    assert found.seen[~xrays.labels].mean() == pytest.approx(card["alarmed_aim"], abs=0.002)
    assert (card["map_weight"], card["pooled_weight"], card["bias"]) == pytest.approx((1, 0.5, -1), abs=0.15)
    assert (card["mark_from"], card["n"], card["groups"]) == (0.4, 4000, 800)


def test_a_missed_fracture_has_no_mark_that_hits() -> None:
    xrays = scored()
    found = answer(xrays, FindingCalibration.of({"calibration": calibrate(xrays, 0.4)}))
    assert not (found.hits & found.not_seen).any()
    assert found.hits[found.seen & xrays.labels].all()


def test_the_cross_fitted_answer_of_a_group_does_not_depend_on_its_own_labels() -> None:
    xrays = scored(300)
    mixed = next(g for g in xrays.groups if 0 < xrays.labels[np.array(xrays.groups) == g].sum() < 5)
    group = np.array(xrays.groups) == mixed
    # The labels within the group change places, so that the folds stay the same.
    labels = iter(sorted(xrays.labels[group], key=lambda label: label != xrays.labels[group][-1]))
    swapped = [
        Xray(xray.path, xray.sha256, xray.group, bool(next(labels))) if xray.group == mixed else xray
        for xray in xrays.xrays
    ]
    other = Scored(swapped, xrays.map_scores, xrays.pooled_scores, xrays.hits, xrays.other_source)
    assert other.labels.tolist() != xrays.labels.tolist()

    for probabilities, are_equal in (
        ([answer_cross_fitted(each, seed=0).probabilities for each in (xrays, other)], True),
        ([in_sample(each) for each in (xrays, other)], False),
    ):
        assert np.array_equal(probabilities[0][group], probabilities[1][group]) == are_equal


def in_sample(xrays: Scored) -> np.ndarray:
    return answer(xrays, FindingCalibration.of({"calibration": calibrate(xrays, 1.0)})).probabilities


def test_the_mark_threshold_allows_a_quarter_of_a_false_mark_per_x_ray() -> None:
    scores = np.linspace(0, 0.99, 100).tolist()
    threshold = mark_threshold(scores, num_xrays=40)
    assert sum(score > threshold for score in scores) == 10
    assert mark_threshold([], 40) == 1.0


# A calibration on another scale, with a lower threshold of other sources.
OLD = FindingCalibration(0.5, 0.25, -3, seen_from=0.2, not_seen_below=0.05, mark_from=0.4)
OLD = replace(OLD, not_seen_below_other_sources=0.03)


def test_the_lower_threshold_of_other_sources_keeps_its_rank_where_they_have_few_fractures() -> None:
    xrays = scored()
    card = {"calibration": calibrate(xrays, 0.4, old=OLD)}
    new = FindingCalibration.of(card)

    before, after = (each.probability(xrays.map_scores, xrays.pooled_scores) for each in (OLD, new))
    assert (after < new.not_seen_below_other_sources).sum() == (
        before < OLD.not_seen_below_other_sources
    ).sum()
    assert new.not_seen_below_other_sources < new.not_seen_below
    assert card["calibration"]["other_sources_refitted"] is False
    # Fitted again to the same X-rays, nothing changes.
    assert FindingCalibration.of({"calibration": calibrate(xrays, 0.4, old=new)}) == new


def test_the_lower_threshold_of_other_sources_is_never_above_the_other() -> None:
    xrays = scored(300)
    generous = replace(OLD, not_seen_below_other_sources=0.9)
    new = FindingCalibration.of({"calibration": calibrate(xrays, 0.4, old=generous)})
    assert new.not_seen_below_other_sources == new.not_seen_below


def test_with_enough_fractures_of_each_source_both_lower_thresholds_meet_the_aim() -> None:
    xrays = scored(others=0.5)
    # Fractures of other sources have lower scores.
    xrays = replace(xrays, map_scores=xrays.map_scores - 1.5 * xrays.other_source)
    card = calibrate(xrays, 0.4, old=OLD)
    new = FindingCalibration.of({"calibration": card})
    found = answer(xrays, new)

    assert card["other_sources_refitted"] is True
    assert new.not_seen_below_other_sources < new.not_seen_below
    for of_source in (xrays.other_source, ~xrays.other_source):
        assert found.not_seen[xrays.labels & of_source].mean() == pytest.approx(0.06, abs=0.003)


@pytest.mark.parametrize("cross_fitted", [False, True])
def test_answers_use_the_threshold_of_the_source(cross_fitted: bool) -> None:
    xrays = scored(others=0.5)
    found = answer_cross_fitted(xrays, 0, OLD) if cross_fitted else answer(xrays, OLD)
    doubtful_or_seen = replace(xrays, other_source=np.zeros(len(xrays.labels), bool))
    without = answer_cross_fitted(doubtful_or_seen, 0, OLD) if cross_fitted else answer(doubtful_or_seen, OLD)
    assert (without.not_seen & xrays.other_source).sum() > (found.not_seen & xrays.other_source).sum() > 0


def test_a_higher_score_never_lowers_the_probability() -> None:
    random = np.random.default_rng(0)
    labels = random.random(400) < 0.5
    values = np.stack([labels + random.normal(size=400), random.normal(size=400) - labels], axis=1)
    assert logistic_regression(values, labels)[1] < 0
    first, second, _ = increasing_regression(values, labels)
    assert first == pytest.approx(logistic_regression(values[:, :1], labels)[0])
    assert second == 0
    assert increasing_regression(-np.abs(values) * labels[:, np.newaxis], labels)[:2].tolist() == [0, 0]
