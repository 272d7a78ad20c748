"""Cuts images into folds that no group straddles, each with about the same share of every class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def grouped_folds(
    labels: NDArray[np.int64], groups: Sequence[str], num_folds: int, seed: int
) -> NDArray[np.int64]:
    """Returns each image's fold, (n,) in 0 .. num_folds - 1.

    Groups are taken in random order, the largest first, and each goes where its classes are rarest.

    Raises:
        ValueError: there are fewer groups than folds.
    """
    names, group_of = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    if len(names) < num_folds:
        raise ValueError(f"{len(names)} groups cannot be cut into {num_folds} folds.")
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
