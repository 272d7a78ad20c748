"""Predicts the outputs of the finding network from cached backbone features."""

from __future__ import annotations

from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from ml.networks.finding import split
from ml.train.finding_features import CachedFeatures

PREDICTION_BATCH = 16


@dataclass(frozen=True, eq=False)
class Scores:
    """Outputs (logits) of the network for n unaugmented X-rays.

    Attributes:
        maps: (n, h, w), logit of a fracture in each cell.
        boxes: (n, h, w, 4), box of each cell, as in ml.networks.finding.build.
        pooled: (n,), logit of a fracture anywhere in the image.
        body_parts: (n, 4), logit of each body part.
    """

    maps: NDArray[np.float32]
    boxes: NDArray[np.float32]
    pooled: NDArray[np.float32]
    body_parts: NDArray[np.float32]


def scores_of(model: keras.Model, features: CachedFeatures, numbers: NDArray[np.int64]) -> Scores:
    """Returns the outputs of a network for the unaugmented X-rays with these indices."""
    trainable = split(model)[1]
    predict = tf.function(lambda fine, coarse: trainable([fine, coarse], training=False))
    found: dict[str, list[NDArray[np.float32]]] = {"map": [], "box": [], "finding": [], "part": []}
    for first in range(0, len(numbers), PREDICTION_BATCH):
        rows = [features.rows[number][0] for number in numbers[first : first + PREDICTION_BATCH]]
        outputs = predict(features.fine[rows].astype(np.float32), features.coarse[rows].astype(np.float32))
        for name, values in found.items():
            values.append(outputs[name].numpy())
    joined = {name: np.concatenate(values) for name, values in found.items()}
    return Scores(joined["map"][..., 0], joined["box"], joined["finding"][:, 0], joined["part"])
