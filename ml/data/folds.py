"""Folds for cross-validation: no group is in two of them, and classes are spread evenly."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def grouped_folds(
    labels: NDArray[np.int64], groups: Sequence[str], num_folds: int, seed: int
) -> NDArray[np.int64]:
    """Assigns images to folds.

    Groups are taken in descending size, in random order among equals; each goes to the fold in which its
    classes are rarest.

    Args:
        labels: (n,) int, the class of each image.
        groups: (n,), the group of each image.
        num_folds: number of folds.
        seed: of the random order.

    Returns:
        The fold of each image, (n,) int in 0 .. num_folds - 1.

    Raises:
        ValueError: there are fewer groups than folds.
    """
    names, group_of = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    if len(names) < num_folds:
        raise ValueError(f"{len(names)} groups cannot be divided into {num_folds} folds.")
    counts = np.zeros((len(names), int(labels.max()) + 1))
    np.add.at(counts, (group_of, labels), 1)
    shuffled = np.random.default_rng(seed).permutation(len(names))
    order = shuffled[np.argsort(-counts[shuffled].sum(axis=1), kind="stable")]
    filled = np.zeros((num_folds, counts.shape[1]))
    fold_of_group = np.zeros(len(names), np.int64)
    totals = np.maximum(counts.sum(axis=0), 1)
    for group in order:
        # The total breaks ties, so that folds stay alike in size.
        crowding = (filled / totals) @ counts[group] + filled.sum(axis=1) * 1e-6
        fold = int(np.argmin(crowding))
        fold_of_group[group] = fold
        filled[fold] += counts[group]
    folds: NDArray[np.int64] = fold_of_group[group_of]
    return folds
