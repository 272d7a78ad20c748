"""The in-distribution score refuses what lies far out, and few of what it was fitted to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ml.data.folds import grouped_folds
from ml.serve.out_of_distribution import Distribution
from ml.train.out_of_distribution import Source, fit, fit_sources

RANDOM = np.random.default_rng(0)
MIXING = RANDOM.normal(size=(8, 20))


def like_the_training(n: int) -> np.ndarray:
    hidden = RANDOM.normal(size=(n, 8))
    return (hidden @ MIXING + 0.1 * RANDOM.normal(size=(n, 20)) + 3).astype(np.float32)


def test_similar_features_are_contained_and_others_are_not(tmp_path: Path) -> None:
    fitted, scores = fit(like_the_training(500), np.arange(500) % 5, np.ones(500, bool))
    assert np.mean(scores > 1) < 0.01
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
    assert np.isfinite(fitted.threshold).all()
    assert not fitted.contains(np.full(50, 9, np.float32))


def test_a_file_of_one_source_without_its_axis_is_read(tmp_path: Path) -> None:
    """The layout of model versions that were written before there were several sources."""
    fitted, _ = fit(like_the_training(200), np.arange(200) % 5, np.ones(200, bool))
    np.savez(
        tmp_path / "distribution.npz",
        mean=fitted.mean[0],
        whitener=fitted.whitener[0],
        threshold=np.float64(fitted.threshold[0]),
    )
    loaded = Distribution.load(tmp_path)
    assert loaded is not None
    features = like_the_training(50)
    np.testing.assert_array_equal(loaded.score(features), fitted.score(features))
    assert loaded.boundary is None


def test_each_source_has_its_own_gaussian_and_threshold(tmp_path: Path) -> None:
    near, far = like_the_training(400), like_the_training(200) * 3 + 40
    groups = [str(number // 2) for number in range(400)]
    fitted = fit_sources([Source(near, groups, 0.01), Source(far, groups[:200], 0.05)], None, [], 0)
    assert [1 - np.mean(found) for found in fitted.accepted] == pytest.approx([0.01, 0.05], abs=0.01)
    assert [np.mean(found) for found in fitted.nearest] == [0, 1]
    (tmp_path / "distribution.npz").write_bytes(fitted.distribution.to_bytes())
    loaded = Distribution.load(tmp_path)
    assert loaded is not None
    assert [loaded.nearest(found[0]) for found in (near, far)] == [0, 1]
    between = (near.mean(axis=0) + far.mean(axis=0)) / 2
    assert not loaded.contains(between)


def test_the_boundary_excludes_images_that_are_close_to_the_x_rays(tmp_path: Path) -> None:
    x_rays, others = like_the_training(400), like_the_training(300)
    # Between the Gaussian's mean and its threshold, but on one side.
    others[:, 0] = others[:, 0] * 0.2 + x_rays[:, 0].max() + 0.5
    groups = [str(number // 30) for number in range(400)]
    sources = [Source(x_rays, groups, 0.02)]
    without = fit_sources(sources, None, [], 0).distribution
    fitted = fit_sources(sources, others, groups[:300], 0)
    (tmp_path / "distribution.npz").write_bytes(fitted.distribution.to_bytes())
    loaded = Distribution.load(tmp_path)
    assert loaded is not None
    assert np.mean(fitted.others_accepted) <= np.mean(without.score(others) <= 1)
    assert np.mean([loaded.contains(one) for one in others]) < 0.05
    assert np.mean(fitted.accepted[0]) > 0.95


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
