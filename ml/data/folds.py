"""Folds for cross-validation: no group is in two of them, and classes are spread evenly."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold


def grouped_folds(
    labels: NDArray[np.int64], groups: Sequence[str], num_folds: int, seed: int
) -> NDArray[np.int64]:
    """Assigns images to folds with scikit-learn's StratifiedGroupKFold.

    Args:
        labels: (n,) int, the class of each image.
        groups: (n,), the group of each image.
        num_folds: 2 or more.
        seed: decides between folds that are equally good.

    Returns:
        The fold of each image, (n,) int in 0 .. num_folds - 1.

    Raises:
        ValueError: there are fewer groups than folds, or every class has fewer images than folds.
    """
    num_groups = len(set(groups))
    if num_groups < num_folds:
        raise ValueError(f"{num_groups} groups cannot be divided into {num_folds} folds.")
    if np.bincount(labels).max() < num_folds:
        raise ValueError(f"No class has {num_folds} images, one for each fold.")
    splitter = StratifiedGroupKFold(num_folds, shuffle=True, random_state=seed)
    folds = np.zeros(len(labels), np.int64)
    with warnings.catch_warnings():
        # A class with fewer images than folds is absent from some of them.
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        for fold, (_, inside) in enumerate(splitter.split(labels, labels, np.asarray(groups, str))):
            folds[inside] = fold
    return folds
