"""Fits the last layer of a network as a logistic regression, to the outputs of its frozen backbone."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.preprocessing import StandardScaler

from ml.progress import ProgressEvent
from ml.train.fitting import FitOptions, FitProgress, TrainingStopped, validate
from ml.train.input_pipeline import Examples

MAX_ITERATIONS = 1000
# Logit of a class without training examples; those of the others are of the order of 1.
ABSENT = -10.0


def fit_logistic_regression(
    model: keras.Model,
    sizes: Sequence[int],
    l2: float,
    examples: Examples,
    train: NDArray[np.int64],
    validation: NDArray[np.int64],
    options: FitOptions,
) -> FitProgress:
    """Fits the layer "logits" with L-BFGS and an L2 penalty on standardized features, in place.

    The features of each pooled layer have a total variance of 1, so that large layers do not dominate. All copies of
    an image are examples. The fit is deterministic and takes seconds, so there are no checkpoints.

    Args:
        model: Model of one dense layer "logits", from features (batch, d) to logits (batch, classes).
        sizes: Number of features of each pooled layer; their sum is d.
        l2: Weight of the penalty.
        examples: All examples.
        train: Indices of the training examples, int64 (n,).
        validation: Indices of the validation examples, int64 (m,); may be empty.
        options: Options of this fit.

    Returns:
        The metrics of the only epoch.

    Raises:
        TrainingStopped: options.should_stop returned True.
    """
    if options.should_stop():
        raise TrainingStopped
    features = np.concatenate([copy[train] for copy in examples.inputs]).astype(np.float64)
    labels = np.tile(examples.targets[train].argmax(axis=1), len(examples.inputs))
    scaler = StandardScaler().fit(features)
    scaler.scale_ *= np.sqrt(np.repeat(sizes, sizes))
    # Each copy counts as a share of its image, so that the penalty does not depend on the number of copies.
    regression = LogisticRegression(C=1 / (l2 * len(examples.inputs)), max_iter=MAX_ITERATIONS)
    regression.fit(scaler.transform(features), labels)
    kernel, bias = _layer_weights(regression, scaler, examples.targets.shape[1])
    model.get_layer("logits").set_weights([kernel, bias])
    loss = log_loss(labels, regression.predict_proba(scaler.transform(features)), labels=regression.classes_)
    progress = FitProgress([{"loss": float(loss), **validate(model, examples, validation)}], 1)
    left = options.remaining.estimate(options.number + 1)
    options.on_progress(ProgressEvent(options.name, 1, 1, 1, 1, progress.history[-1], left))
    return progress


def _layer_weights(
    regression: LogisticRegression, scaler: StandardScaler, num_classes: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Returns the kernel (d, classes) and the bias (classes,) of a layer that takes features as they are."""
    coefficients, intercepts = regression.coef_, regression.intercept_
    if len(regression.classes_) == 2:
        # Of two classes, scikit-learn keeps the logit of the second one against the first.
        coefficients = np.concatenate([-coefficients, coefficients]) / 2
        intercepts = np.concatenate([-intercepts, intercepts]) / 2
    scaled = coefficients / scaler.scale_
    kernel = np.zeros((coefficients.shape[1], num_classes), np.float32)
    bias = np.full(num_classes, ABSENT, np.float32)
    kernel[:, regression.classes_] = scaled.T
    bias[regression.classes_] = intercepts - scaled @ scaler.mean_
    return kernel, bias
