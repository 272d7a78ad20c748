"""Figures agree with what can be worked out by hand, and their intervals know about groups."""

import math

import numpy as np
import pytest
import sklearn.metrics

from ml.evaluate import metrics

LABELS = np.array([0, 0, 0, 1, 1, 2])
PREDICTED = np.array([0, 0, 1, 1, 0, 1])


def test_accuracy_counts_images_and_balanced_accuracy_counts_classes():
    assert metrics.accuracy(LABELS, PREDICTED) == pytest.approx(3 / 6)
    assert metrics.balanced_accuracy(LABELS, PREDICTED) == pytest.approx((2 / 3 + 1 / 2 + 0) / 3)


def test_balanced_accuracy_leaves_out_classes_without_an_image():
    assert metrics.balanced_accuracy(np.array([0, 3]), np.array([0, 1])) == pytest.approx(1 / 2)


def test_top_k_looks_at_the_k_most_probable():
    probabilities = np.array([[0.5, 0.3, 0.2], [0.5, 0.3, 0.2]])
    labels = np.array([1, 2])
    assert metrics.top_k_accuracy(labels, probabilities, k=1) == 0
    assert metrics.top_k_accuracy(labels, probabilities, k=2) == 0.5
    assert metrics.top_k_accuracy(labels, probabilities, k=3) == 1


def test_figures_equal_those_of_scikit_learn():
    generator = np.random.default_rng(3)
    labels, probabilities = generator.integers(0, 5, 80), generator.dirichlet(np.ones(5), 80)
    predicted, classes = probabilities.argmax(axis=1), range(5)
    precision, recall, f1, support = sklearn.metrics.precision_recall_fscore_support(
        labels, predicted, labels=classes, zero_division=np.nan
    )
    scores = metrics.class_scores(labels, predicted, 5)
    np.testing.assert_allclose(
        [scores.precision, scores.recall, scores.f1, scores.support], [precision, recall, f1, support]
    )
    ours_and_theirs = [
        (metrics.accuracy(labels, predicted), sklearn.metrics.accuracy_score(labels, predicted)),
        (
            metrics.balanced_accuracy(labels, predicted),
            sklearn.metrics.balanced_accuracy_score(labels, predicted),
        ),
        (
            metrics.top_k_accuracy(labels, probabilities, 3),
            sklearn.metrics.top_k_accuracy_score(labels, probabilities, k=3, labels=classes),
        ),
        (
            metrics.macro_auroc(labels, probabilities),
            sklearn.metrics.roc_auc_score(labels, probabilities, multi_class="ovr"),
        ),
        (
            metrics.negative_log_likelihood(labels, probabilities),
            sklearn.metrics.log_loss(labels, probabilities),
        ),
        (
            metrics.brier_score(labels, probabilities),
            sklearn.metrics.brier_score_loss(labels, probabilities, labels=classes, scale_by_half=False),
        ),
    ]
    for ours, theirs in ours_and_theirs:
        assert ours == pytest.approx(theirs, rel=1e-12)


def test_auroc_leaves_out_classes_without_an_image_and_counts_ties_half():
    probabilities = np.array([[0.6, 0.4, 0.0], [0.6, 0.4, 0.0], [0.2, 0.8, 0.0]])
    assert metrics.macro_auroc(np.array([0, 1, 1]), probabilities) == pytest.approx(0.75)
    assert math.isnan(metrics.macro_auroc(np.array([1, 1, 1]), probabilities))


def test_class_scores_are_undefined_rather_than_zero_where_nothing_was_predicted():
    scores = metrics.class_scores(LABELS, PREDICTED, 3)
    assert scores.precision[:2] == pytest.approx([2 / 3, 1 / 3])
    assert math.isnan(scores.precision[2])
    assert scores.recall == pytest.approx([2 / 3, 1 / 2, 0])
    assert scores.f1 == pytest.approx([4 / 6, 2 / 5, 0])
    assert scores.support.tolist() == [3, 2, 1]


def test_losses_of_sure_and_of_even_answers():
    sure, even = np.array([[1.0, 0.0]]), np.array([[0.5, 0.5]])
    right, wrong = np.array([0]), np.array([1])
    assert metrics.negative_log_likelihood(right, sure) == 0
    assert metrics.negative_log_likelihood(right, even) == pytest.approx(math.log(2))
    assert math.isfinite(metrics.negative_log_likelihood(wrong, sure))
    assert metrics.brier_score(right, sure) == 0
    assert metrics.brier_score(wrong, sure) == 2
    assert metrics.brier_score(right, even) == pytest.approx(0.5)


def test_calibration_error_is_the_gap_between_confidence_and_accuracy():
    probabilities = np.tile([0.8, 0.2], (10, 1))
    honest = np.array([0] * 8 + [1] * 2)
    boastful = np.array([0] * 3 + [1] * 7)
    assert metrics.expected_calibration_error(honest, probabilities) == pytest.approx(0, abs=1e-9)
    assert metrics.expected_calibration_error(boastful, probabilities) == pytest.approx(0.5)


def test_a_confidence_of_one_falls_into_the_last_bin():
    bins = metrics.reliability_bins(np.array([0, 0]), np.array([[1.0, 0.0], [0.55, 0.45]]))
    assert bins.count.sum() == 2
    assert bins.count[-1] == 1
    assert bins.upper[-1] == 1


def test_few_images_show_a_calibration_error_by_chance_alone_and_many_hardly_any():
    probabilities = np.tile([0.4, 0.3, 0.2, 0.1], (40, 1))
    by_chance = metrics.calibration_error_by_chance(probabilities)
    assert by_chance == pytest.approx(np.sqrt(2 / np.pi * 0.4 * 0.6 / 40), rel=0.15)
    assert metrics.calibration_error_by_chance(np.tile(probabilities, (50, 1))) < by_chance / 5


def test_an_interval_by_group_is_wider_than_one_by_image_when_groups_share_their_luck():
    generator = np.random.default_rng(1)
    right = np.repeat(generator.random(40) < 0.5, 10)
    groups = np.repeat(np.arange(40), 10)
    by_group = metrics.estimate(lambda images: right[images].mean(), groups)
    by_image = metrics.estimate(lambda images: right[images].mean(), np.arange(400))
    assert by_group.value == by_image.value == right.mean()
    assert by_group.low < by_group.value < by_group.high
    assert by_group.high - by_group.low > 2.5 * (by_image.high - by_image.low)
    assert (by_group.n, by_group.num_groups) == (400, 40)


def test_an_interval_holds_the_truth_about_19_times_in_20():
    held = 0
    for seed in range(60):
        right = np.random.default_rng(seed).random(120) < 0.3
        interval = metrics.estimate(lambda images, r=right: r[images].mean(), np.arange(120), resamples=200)
        held += interval.low <= 0.3 <= interval.high
    assert 51 <= held <= 60


def test_the_same_seed_gives_the_same_interval():
    def share(images):
        return float((images % 3 == 0).mean())

    assert metrics.estimate(share, range(50), seed=7) == metrics.estimate(share, range(50), seed=7)


@pytest.mark.parametrize(
    ("first", "second", "p_value"),
    [(0, 0, 1.0), (5, 5, 1.0), (0, 5, 0.0625), (1, 9, 22 / 1024), (6, 16, 0.05248)],
)
def test_mcnemar_is_the_exact_binomial_test(first, second, p_value):
    assert metrics.mcnemar_exact(first, second) == pytest.approx(p_value, abs=1e-5)
    assert metrics.mcnemar_exact(second, first) == metrics.mcnemar_exact(first, second)


def test_wilson_interval_of_a_perfect_score_is_not_certain():
    low, high = metrics.wilson_interval(50, 50)
    assert low == pytest.approx(0.9287, abs=1e-3)
    assert high == pytest.approx(1)
