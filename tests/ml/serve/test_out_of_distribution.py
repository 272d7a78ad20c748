"""The in-distribution score refuses what lies far out, and few of what it was fitted to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ml.data.folds import grouped_folds
from ml.serve.out_of_distribution import Distribution
from ml.train.out_of_distribution import fit

RANDOM = np.random.default_rng(0)
MIXING = RANDOM.normal(size=(8, 20))


def like_the_training(n: int) -> np.ndarray:
    hidden = RANDOM.normal(size=(n, 8))
    return (hidden @ MIXING + 0.1 * RANDOM.normal(size=(n, 20)) + 3).astype(np.float32)


def test_similar_features_are_contained_and_others_are_not(tmp_path: Path) -> None:
    fitted, scores = fit(like_the_training(500), np.arange(500) % 5, np.ones(500, bool))
    assert np.mean(scores > fitted.threshold) < 0.01
    (tmp_path / "distribution.npz").write_bytes(fitted.to_bytes())
    loaded = Distribution.load(tmp_path)
    assert loaded is not None
    assert np.mean([loaded.contains(features) for features in like_the_training(500)]) > 0.97
    off_the_plane = like_the_training(100) + 3 * RANDOM.normal(size=(100, 20)).astype(np.float32)
    assert not any(loaded.contains(features) for features in off_the_plane)
    assert not loaded.contains(np.zeros(20, np.float32))


def test_more_features_than_pictures_still_make_a_score() -> None:
    features = RANDOM.normal(size=(30, 50)).astype(np.float32)
    fitted, _ = fit(features, np.arange(30) % 5, np.ones(30, bool))
    assert np.isfinite(fitted.threshold)
    assert not fitted.contains(np.full(50, 9, np.float32))


def test_a_bundle_without_a_distribution_has_none(tmp_path: Path) -> None:
    assert Distribution.load(tmp_path) is None


def test_no_group_is_in_two_folds_and_classes_are_spread() -> None:
    groups = [str(number) for number in RANDOM.integers(0, 90, 300)]
    label_of = {group: int(group) % 3 for group in groups}
    labels = np.array([label_of[group] for group in groups])
    folds = grouped_folds(labels, groups, 5, seed=1)
    assert all(
        len({fold for fold, other in zip(folds, groups, strict=True) if other == g}) == 1 for g in groups
    )
    counts = np.array([np.bincount(labels[folds == fold], minlength=3) for fold in range(5)])
    assert counts.min() > 0.6 * counts.mean()
    np.testing.assert_array_equal(folds, grouped_folds(labels, groups, 5, seed=1))


def test_fewer_groups_than_folds_are_refused() -> None:
    with pytest.raises(ValueError, match="4 groups cannot be divided into 5 folds"):
        grouped_folds(np.zeros(12, int), [str(number % 4) for number in range(12)], 5, seed=0)
