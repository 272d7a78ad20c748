"""Fits a network as a recipe says: deterministic, resumable, the best epoch kept.

The state after each epoch is written to a checkpoint, aside and then renamed. What happens in an
epoch depends on the state before it, the seed and the epoch alone, so a run that was killed and
started again ends with the figures of an uninterrupted one.
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
from ml.events import Event, Remaining, Tell
from ml.networks.recipes import Recipe
from ml.train.input_pipeline import Examples, plain_batches, training_batches

WARM_UP = 0.08
SECONDS_BETWEEN_EVENTS = 1.0


class TrainingStopped(Exception):
    """Somebody asked the run to stop; the same command resumes it."""


@dataclass(frozen=True)
class Fit:
    """One of the fits that a run consists of.

    checkpoint: the file its state is written to, and resumed from if it is there.
    number: how many fits of the run come before; remaining estimates the time by their number.
    keep_best: whether the epoch of the lowest validation loss is kept and training stops early.
    """

    name: str
    checkpoint: Path
    seed: int
    tell: Tell
    remaining: Remaining
    number: int = 0
    keep_best: bool = True
    should_stop: Callable[[], bool] = lambda: False


@dataclass
class Progress:
    """What a fit has done so far: figures by epoch, and the epoch (from 1) whose weights are kept."""

    history: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0

    @property
    def epoch(self) -> int:
        return len(self.history)


@contextmanager
def computing_in(precision: str) -> Iterator[None]:
    """Layers made inside compute in this precision; their variables are float32 all the same."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
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
    run: Fit,
) -> Progress:
    """Trains a model in place; at the end it has the weights of its best epoch.

    The best epoch is the one of the lowest validation loss; without validation examples, or if
    run.keep_best is off, the last one.

    Args:
        train, validation: which of the examples to learn from, and which to watch.

    Raises:
        TrainingStopped: run.should_stop said so; the last whole epoch is in the checkpoint.
    """
    state = _State(model, recipe)
    if run.checkpoint.exists():
        state.load(run.checkpoint)
    progress = state.progress
    train_step = _train_step(model, state.optimizers, recipe.label_smoothing, examples)
    while progress.epoch < recipe.epochs and progress.epoch - progress.best_epoch < recipe.patience:
        loss, steps = _train_epoch(model, state, train_step, recipe, examples, train, run)
        progress.history.append({"loss": loss, **_validate(model, examples, validation)})
        if not run.keep_best or _is_best(progress):
            progress.best_epoch, state.best = progress.epoch, model.get_weights()
        state.save(run.checkpoint)
        done = run.number + progress.epoch / recipe.epochs
        left = run.remaining.after(done)
        run.tell(Event(run.name, progress.epoch, recipe.epochs, steps, steps, progress.history[-1], left))
    model.set_weights(state.best)
    return progress


def logits_of(
    model: keras.Model, examples: Examples, indices: NDArray[np.int64], view: int = 0
) -> NDArray[np.float32]:
    """Returns the model's logits, float32 (len(indices), classes)."""
    batches = plain_batches(examples, indices, view)
    return np.concatenate([model.predict_on_batch(batch) for batch in batches]).astype(np.float32)


class _State:
    """All that an epoch starts from and leaves behind."""

    def __init__(self, model: keras.Model, recipe: Recipe) -> None:
        self.model, self.progress, self.best = model, Progress(), model.get_weights()
        head = model.get_layer("logits").trainable_variables
        body = [v for v in model.trainable_variables if not any(v is other for other in head)]
        self.optimizers = [
            (_optimizer(recipe, variables), rate, variables)
            for rate, variables in ((recipe.learning_rate, body), (recipe.head_learning_rate, head))
            if variables
        ]

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_suffix(".part")
        arrays = {
            f"{name}-{number}": np.asarray(array)
            for name, group in self._groups().items()
            for number, array in enumerate(group)
        }
        with aside.open("wb") as file:
            np.savez(
                file, allow_pickle=False, progress=np.array(json.dumps(self.progress.__dict__)), **arrays
            )
        aside.replace(path)

    def load(self, path: Path) -> None:
        with np.load(path, allow_pickle=False) as saved:
            self.progress = Progress(**json.loads(str(saved["progress"])))
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
    # A bias or a batch norm is nothing to keep small.
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
    run: Fit,
) -> tuple[float, int]:
    epoch = state.progress.epoch
    batches = training_batches(examples, train, recipe, run.seed, epoch)
    steps = len(batches)
    _reseed_dropout(model, run.seed, epoch)
    losses, told = [], time.monotonic()
    for step, (inputs, targets) in enumerate(batches):
        share = _schedule(recipe, (epoch * steps + step) / (recipe.epochs * steps))
        for optimizer, rate, _ in state.optimizers:
            optimizer.learning_rate.assign(rate * share)
        losses.append(float(train_step(inputs, targets)))
        if run.should_stop():
            raise TrainingStopped
        if time.monotonic() - told > SECONDS_BETWEEN_EVENTS and step + 1 < steps:
            told = time.monotonic()
            left = run.remaining.after(run.number + (epoch + (step + 1) / steps) / recipe.epochs)
            run.tell(Event(run.name, epoch + 1, recipe.epochs, step + 1, steps, {"loss": losses[-1]}, left))
    return float(np.mean(losses)), steps


def _train_step(model: keras.Model, optimizers: list[Any], label_smoothing: float, examples: Examples) -> Any:
    # Batches differ in length; without a signature each length would be compiled anew.
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
        for (optimizer, _, variables), parts in zip(optimizers, gradients, strict=True):
            optimizer.apply(parts, variables)
        return loss

    return train_step


def _schedule(recipe: Recipe, done: float) -> float:
    """Returns which share of the learning rate is used when this share of all steps is done."""
    if recipe.schedule == "constant":
        return 1.0
    return min(1.0, (done + 1e-3) / WARM_UP) * (1 + math.cos(math.pi * done)) / 2


def _reseed_dropout(model: keras.Model, seed: int, epoch: int) -> None:
    for layer in model.layers:
        if isinstance(layer, keras.layers.Dropout):
            layer.seed_generator.state.assign([seed, epoch])


def _validate(model: keras.Model, examples: Examples, validation: NDArray[np.int64]) -> dict[str, float]:
    if not len(validation):
        return {}
    logits = logits_of(model, examples, validation)
    targets = examples.targets[validation]
    labels, predicted = targets.argmax(axis=1), logits.argmax(axis=1)
    return {
        "val_loss": float(keras.losses.CategoricalCrossentropy(from_logits=True)(targets, logits)),
        "val_accuracy": float(np.mean(labels == predicted)),
        "val_balanced_accuracy": float(balanced_accuracy(labels, predicted)),
    }


def _is_best(progress: Progress) -> bool:
    losses = [figures.get("val_loss", -math.inf) for figures in progress.history]
    return losses[-1] <= min(losses)
