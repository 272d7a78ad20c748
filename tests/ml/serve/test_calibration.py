"""Confidences are calibrated, prediction sets have the stated coverage, and uncertain predictions abstain."""

import numpy as np
import pytest

from ml.evaluate import metrics
from ml.serve import calibration


def drawn(n, seed, sharpness=1.0, classes=5):
    """Returns logits, and labels drawn from their probabilities: calibrated at a temperature of 1."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=(n, classes)) * 1.5
    probabilities = calibration.softmax(logits)
    labels = np.array([generator.choice(classes, p=row) for row in probabilities])
    return logits * sharpness, labels


def test_softmax_sums_to_one_and_survives_large_logits():
    rows = calibration.softmax(np.array([[1000.0, 0.0], [-1000.0, -1000.0]]))
    assert rows == pytest.approx(np.array([[1, 0], [0.5, 0.5]]))


@pytest.mark.parametrize("sharpness", [0.5, 1.0, 3.0])
def test_temperature_corrects_overconfidence_and_underconfidence(sharpness):
    logits, labels = drawn(4000, seed=1, sharpness=sharpness)
    assert calibration.fit_temperature(logits, labels) == pytest.approx(sharpness, rel=0.08)


def test_temperature_lowers_the_calibration_error_on_new_images():
    temperature = calibration.fit_temperature(*drawn(1000, seed=1, sharpness=3))
    logits, labels = drawn(2000, seed=2, sharpness=3)
    before = metrics.expected_calibration_error(labels, calibration.softmax(logits))
    after = metrics.expected_calibration_error(labels, calibration.softmax(logits, temperature))
    assert before > 0.15
    assert after < 0.04


def test_temperature_is_bounded_when_every_prediction_is_right_or_wrong():
    logits = np.array([[9.0, 0.0], [9.0, 0.0]])
    assert calibration.MIN_TEMPERATURE <= calibration.fit_temperature(logits, np.array([0, 0])) < 1
    assert calibration.fit_temperature(logits, np.array([1, 1])) == pytest.approx(calibration.MAX_TEMPERATURE)


def test_temperature_gives_each_group_the_same_weight():
    logits = np.repeat(np.array([[2.0, 0.0]]), 20, axis=0)
    labels = np.array([0] * 16 + [1] * 4)
    one_source_is_often_right = ["copies"] * 15 + [str(number) for number in range(5)]
    by_image = calibration.fit_temperature(logits, labels)
    by_group = calibration.fit_temperature(logits, labels, one_source_is_often_right)
    # 16 of 20 images are right, but only 2 of 6 groups.
    assert calibration.softmax(logits[:1], by_image)[0, 0] == pytest.approx(0.8, abs=1e-3)
    assert by_group == pytest.approx(calibration.MAX_TEMPERATURE)


def test_temperature_needs_images():
    with pytest.raises(ValueError, match="at least one image"):
        calibration.fit_temperature(np.zeros((0, 3)), np.zeros(0, dtype=int))


def coverage_of(sets, labels):
    return sets[np.arange(len(labels)), labels].mean()


def test_prediction_sets_contain_the_true_class_of_90_percent_of_new_images():
    covered, sizes = [], []
    for seed in range(40):
        logits, labels = drawn(150, seed)
        threshold = calibration.conformal_threshold(calibration.softmax(logits), labels)
        fresh, truth = drawn(300, seed + 1000)
        sets = calibration.prediction_sets(calibration.softmax(fresh), threshold)
        covered.append(coverage_of(sets, truth))
        sizes.append(sets.sum(axis=1).mean())
    assert 0.89 <= np.mean(covered) <= 0.93
    assert np.mean(sizes) < 4


def test_prediction_sets_have_the_stated_coverage_for_images_of_new_groups():
    """Large groups and small groups have the same weight."""
    covered = []
    for seed in range(60):
        generator = np.random.default_rng(seed)
        sizes = generator.integers(1, 12, size=80)
        groups = np.repeat(np.arange(80), sizes)
        # A group shares one difficulty: p(true class) of all its images.
        truth = np.repeat(generator.random(80), sizes)
        probabilities = np.stack([truth, 1 - truth], axis=1)
        threshold = calibration.conformal_threshold(probabilities, np.zeros(len(truth), dtype=int), groups)
        covered.append((generator.random(2000) >= threshold).mean())
    assert 0.89 <= np.mean(covered) <= 0.94


def test_sets_contain_all_classes_if_there_are_too_few_groups():
    probabilities, labels = np.tile([0.7, 0.2, 0.1], (30, 1)), np.zeros(30, dtype=int)
    assert calibration.conformal_threshold(probabilities, labels, groups=["one patient"] * 30) == 0
    assert calibration.prediction_sets(probabilities, 0).all()


def test_a_prediction_set_is_never_empty():
    sets = calibration.prediction_sets(np.array([[0.4, 0.3, 0.3]]), threshold=0.9)
    assert sets.tolist() == [[True, False, False]]


def test_the_threshold_is_the_lowest_that_reaches_the_accuracy():
    confidence = np.array([0.9, 0.8, 0.7, 0.6, 0.55])
    probabilities = np.stack([confidence, 1 - confidence], axis=1)
    labels = np.array([0, 0, 0, 1, 1])
    point = calibration.choose_threshold(probabilities, labels, target_accuracy=0.75)
    assert point == calibration.OperatingPoint(threshold=0.6, coverage=0.8, accuracy=0.75, num_answered=4)


def test_the_most_accurate_threshold_is_chosen_if_none_reaches_the_accuracy():
    probabilities = np.array([[0.9, 0.1], [0.6, 0.4]])
    point = calibration.choose_threshold(probabilities, np.array([0, 1]), target_accuracy=1.01)
    assert point.accuracy == 1.0
    assert point.threshold == 0.9


def test_groups_have_equal_weight_in_the_choice_of_a_threshold():
    confidence = np.array([0.9] * 10 + [0.8])
    probabilities = np.stack([confidence, 1 - confidence], axis=1)
    labels = np.array([0] * 10 + [1])
    copies = calibration.choose_threshold(probabilities, labels, 0.9, groups=["a"] * 10 + ["b"])
    assert copies.threshold == 0.9
    assert copies.coverage == 0.5


def test_accuracy_by_coverage_ends_with_all_images():
    probabilities = np.array([[0.6, 0.4], [0.9, 0.1], [0.7, 0.3]])
    coverage, accuracy = calibration.accuracy_by_coverage(probabilities, np.array([1, 0, 0]))
    assert coverage == pytest.approx([1 / 3, 2 / 3, 1])
    assert accuracy == pytest.approx([1, 1, 2 / 3])
