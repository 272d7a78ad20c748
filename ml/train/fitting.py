"""Fits a network by a recipe, with checkpoints from which a run resumes.

An epoch depends only on the state before it, the seed and its number. A run that was killed and restarted therefore
ends with the same weights as an uninterrupted one.

The finding has its own training loop in ml/train/finding.py.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from ml.evaluate.metrics import balanced_accuracy
from ml.networks.recipes import Recipe
from ml.progress import ProgressCallback, ProgressEvent, RemainingTime
from ml.train.input_pipeline import Examples, inference_batches, training_batches

# Share of the steps during which the cosine schedule increases the learning rate.
WARMUP_SHARE = 0.08
SECONDS_BETWEEN_EVENTS = 1.0


class TrainingStopped(Exception):
    """Training was stopped on request; the same call resumes it."""


@dataclass(frozen=True)
class FitOptions:
    """Options of one of the fits of a training run.

    Attributes:
        name: Phase of the progress events, such as "train" or "fold 1".
        checkpoint: File with the state of the fit, from which it resumes if it exists.
        seed: Seed of the batches and of dropout.
        on_progress: Called with the progress.
        remaining: Estimates the remaining time of the run, in units of fits.
        number: Number of fits of the run before this one.
        keep_best: Whether to keep the epoch with the lowest validation loss and to stop early.
        should_stop: Called after each step; stops the fit when it returns True.
    """

    name: str
    checkpoint: Path
    seed: int
    on_progress: ProgressCallback
    remaining: RemainingTime
    number: int = 0
    keep_best: bool = True
    should_stop: Callable[[], bool] = lambda: False


@dataclass
class FitProgress:
    """The finished epochs of a fit.

    Attributes:
        history: Metrics of each epoch.
        best_epoch: Epoch whose weights are kept, counted from 1.
    """

    history: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0

    @property
    def epoch(self) -> int:
        """Number of finished epochs."""
        return len(self.history)


@contextmanager
def dtype_policy(name: str) -> Iterator[None]:
    """Sets the Keras dtype policy of layers that are created within the block; their variables stay float32."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def fit(
    model: keras.Model,
    recipe: Recipe,
    examples: Examples,
    train: NDArray[np.int64],
    validation: NDArray[np.int64],
    options: FitOptions,
) -> FitProgress:
    """Trains a model in place and sets its weights to those of the best epoch.

    The best epoch is the one with the lowest validation loss. It is the last one if there are no validation examples
    or options.keep_best is False.

    Args:
        model: Model from the inputs of the examples to logits, (batch, classes).
        recipe: Optimizer, schedule and number of epochs.
        examples: All examples.
        train: Indices of the training examples, int64 (n,).
        validation: Indices of the validation examples, int64 (m,); may be empty.
        options: Options of this fit.

    Returns:
        The metrics of all epochs, and the number of the best one.

    Raises:
        TrainingStopped: options.should_stop returned True; the last complete epoch is in the checkpoint.
    """
    state = _State(model, recipe)
    if options.checkpoint.exists():
        state.load(options.checkpoint)
    progress = state.progress
    train_step = _train_step(model, state.optimizers, recipe.label_smoothing, examples)
    while progress.epoch < recipe.epochs and progress.epoch - progress.best_epoch < recipe.patience:
        loss, steps = _train_epoch(model, state, train_step, recipe, examples, train, options)
        progress.history.append({"loss": loss, **validate(model, examples, validation)})
        if not options.keep_best or _is_best(progress):
            progress.best_epoch, state.best = progress.epoch, model.get_weights()
        state.save(options.checkpoint)
        done = options.number + progress.epoch / recipe.epochs
        left = options.remaining.estimate(done)
        options.on_progress(
            ProgressEvent(
                options.name, progress.epoch, recipe.epochs, steps, steps, progress.history[-1], left
            )
        )
    model.set_weights(state.best)
    return progress


def predict_logits(
    model: keras.Model, examples: Examples, indices: NDArray[np.int64], copy: int = 0
) -> NDArray[np.float32]:
    """Predicts the logits of examples.

    Args:
        model: Model from the inputs of the examples to logits.
        examples: All examples.
        indices: Indices of the examples to predict, int64 (n,).
        copy: Copy of the examples to use.

    Returns:
        float32 (n, classes).
    """
    batches = inference_batches(examples, indices, copy)
    return np.concatenate([model.predict_on_batch(batch) for batch in batches]).astype(np.float32)


class _State:
    """The model, optimizers and progress between two epochs."""

    def __init__(self, model: keras.Model, recipe: Recipe) -> None:
        self.model, self.progress, self.best = model, FitProgress(), model.get_weights()
        head = model.get_layer("logits").trainable_variables
        body = [v for v in model.trainable_variables if not any(v is other for other in head)]
        self.optimizers = [
            (_optimizer(recipe, variables), rate, variables)
            for rate, variables in ((recipe.learning_rate, body), (recipe.head_learning_rate, head))
            if variables
        ]

    def save(self, path: Path) -> None:
        """Writes a checkpoint, replacing an existing one atomically."""
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".part")
        arrays = {
            f"{name}-{number}": np.asarray(array)
            for name, group in self._groups().items()
            for number, array in enumerate(group)
        }
        with temporary.open("wb") as file:
            np.savez(
                file, allow_pickle=False, progress=np.array(json.dumps(self.progress.__dict__)), **arrays
            )
        temporary.replace(path)

    def load(self, path: Path) -> None:
        """Restores the state of a checkpoint."""
        with np.load(path, allow_pickle=False) as saved:
            self.progress = FitProgress(**json.loads(str(saved["progress"])))
            groups = {
                name: [saved[f"{name}-{number}"] for number in range(len(group))]
                for name, group in self._groups().items()
            }
        self.model.set_weights(groups["model"])
        self.best = groups["best"]
        for variable, value in zip(self._optimizer_variables(), groups["optimizer"], strict=True):
            variable.assign(value)

    def _groups(self) -> dict[str, list[Any]]:
        return {
            "model": self.model.get_weights(),
            "best": self.best,
            "optimizer": self._optimizer_variables(),
        }

    def _optimizer_variables(self) -> list[Any]:
        return [variable for optimizer, _, _ in self.optimizers for variable in optimizer.variables]


def _optimizer(recipe: Recipe, variables: list[Any]) -> keras.Optimizer:
    optimizer = keras.optimizers.AdamW(recipe.learning_rate, weight_decay=recipe.weight_decay)
    # Weight decay of biases and batch normalization does not regularize the model.
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    optimizer.build(variables)
    return optimizer


def _train_epoch(
    model: keras.Model,
    state: _State,
    train_step: Any,
    recipe: Recipe,
    examples: Examples,
    train: NDArray[np.int64],
    options: FitOptions,
) -> tuple[float, int]:
    epoch = state.progress.epoch
    batches = training_batches(examples, train, recipe, options.seed, epoch)
    steps = len(batches)
    _reseed_dropout(model, options.seed, epoch)
    losses, last_report = [], time.monotonic()
    for step, (inputs, targets) in enumerate(batches):
        factor = _learning_rate_factor(recipe, (epoch * steps + step) / (recipe.epochs * steps))
        for optimizer, learning_rate, _ in state.optimizers:
            optimizer.learning_rate.assign(learning_rate * factor)
        losses.append(float(train_step(inputs, targets)))
        if options.should_stop():
            raise TrainingStopped
        if time.monotonic() - last_report > SECONDS_BETWEEN_EVENTS and step + 1 < steps:
            last_report = time.monotonic()
            left = options.remaining.estimate(options.number + (epoch + (step + 1) / steps) / recipe.epochs)
            options.on_progress(
                ProgressEvent(
                    options.name, epoch + 1, recipe.epochs, step + 1, steps, {"loss": losses[-1]}, left
                )
            )
    return float(np.mean(losses)), steps


def _train_step(model: keras.Model, optimizers: list[Any], label_smoothing: float, examples: Examples) -> Any:
    # Batches differ in length; without a signature, each length would be traced separately.
    signature = (
        tf.TensorSpec((None, *model.input.shape[1:]), tf.float32),
        tf.TensorSpec((None, examples.targets.shape[1]), tf.float32),
    )
    loss_of = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=label_smoothing)

    @tf.function(input_signature=signature, autograph=False)  # type: ignore[untyped-decorator]
    def train_step(inputs: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            loss = loss_of(targets, model(inputs, training=True))
        gradients = tape.gradient(loss, [variables for _, _, variables in optimizers])
        for (optimizer, _, variables), own_gradients in zip(optimizers, gradients, strict=True):
            optimizer.apply(own_gradients, variables)
        return loss

    return train_step


def _learning_rate_factor(recipe: Recipe, done: float) -> float:
    """Returns the learning rate relative to its peak after this share of all steps."""
    if recipe.schedule == "constant":
        return 1.0
    return min(1.0, (done + 1e-3) / WARMUP_SHARE) * (1 + math.cos(math.pi * done)) / 2


def _reseed_dropout(model: keras.Model, seed: int, epoch: int) -> None:
    for layer in model.layers:
        if isinstance(layer, keras.layers.Dropout):
            layer.seed_generator.state.assign([seed, epoch])


def validate(model: keras.Model, examples: Examples, validation: NDArray[np.int64]) -> dict[str, float]:
    """Returns the loss, accuracy and balanced accuracy on the validation examples; empty if there are none."""
    if not len(validation):
        return {}
    logits = predict_logits(model, examples, validation)
    targets = examples.targets[validation]
    labels, predicted = targets.argmax(axis=1), logits.argmax(axis=1)
    return {
        "val_loss": float(keras.losses.CategoricalCrossentropy(from_logits=True)(targets, logits)),
        "val_accuracy": float(np.mean(labels == predicted)),
        "val_balanced_accuracy": float(balanced_accuracy(labels, predicted)),
    }


def _is_best(progress: FitProgress) -> bool:
    losses = [figures.get("val_loss", -math.inf) for figures in progress.history]
    return losses[-1] <= min(losses)
