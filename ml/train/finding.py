"""Fits the finding network on random crops of cached backbone features, with checkpoints from which a run resumes.

The finding has its own training loop here; ml/train/fitting.py trains the classifiers of the kind of fracture. The
seed determines the crops. Multithreaded sums may round differently, so results are not bitwise reproducible.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from ml.data.findings import BODY_PARTS, Box, Xray
from ml.networks.finding import BOX_UNIT, CELL, split
from ml.networks.finding_recipes import FindingRecipe
from ml.progress import ProgressCallback, ProgressEvent, RemainingTime
from ml.train.finding_features import CachedFeatures
from ml.train.fitting import TrainingStopped
from ml.train.input_pipeline import TrainingRefused

# Stride of the coarser frozen output, in pixels.
COARSE = 16
# Half-width of a box's positive centre region, as a fraction of its side and at least LEAST_CORE pixels. Cells
# elsewhere in the box, or within MARGIN pixels of it, are ignored.
CORE, LEAST_CORE = 0.3, 5.7
MARGIN = 6
# Weight of the summed loss of the negative cells. The loss of the positive cells is averaged over each image.
UNFRACTURED_CELLS = 0.1
STEPS_BETWEEN_CHECKPOINTS = 50
SECONDS_BETWEEN_EVENTS = 1.0


@dataclass(frozen=True)
class FindingFit:
    """Options of one of the fits of a training run.

    The seed, the number and the cycle determine the random batches.

    Attributes:
        name: Phase of the progress events, and part of the names of the checkpoints.
        number: Number of fits of the run before this one.
        seed: Seed of the run.
        work: Folder of the checkpoints.
        key: Prefix of the names of the checkpoints, which identifies the run.
        remaining: Estimates the remaining time of the run, in units of fits.
        on_progress: Called with the progress.
        should_stop: Called after each step; stops the fit when it returns True.
        cycle: Index of the recipe's cycle.
    """

    name: str
    number: int
    seed: int
    work: Path
    key: str
    remaining: RemainingTime
    on_progress: ProgressCallback = lambda event: None
    should_stop: Callable[[], bool] = lambda: False
    cycle: int = 0

    @property
    def checkpoint(self) -> Path:
        return self.work / f"{self.key}-{self.name.replace(' ', '-')}-{self.cycle + 1}.npz"


def cell_targets(
    boxes: Sequence[Box], left: int, top: int, side: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Returns the training targets of a square crop of an X-ray. The smaller of overlapping boxes takes precedence.

    Args:
        boxes: (centre x, centre y, width, height) of each box, in pixels of the uncropped input.
        left: Left edge of the crop in pixels.
        top: Top edge of the crop in pixels.
        side: Side of the crop in pixels.

    Returns:
        Classes, float32 (cells, cells): 1 in the centre region of a box, 0 outside boxes, -1 for ignored cells; and
        boxes, float32 (cells, cells, 4), as in ml.networks.finding.build, 0 outside the centre regions.
    """
    cells = side // CELL
    xs, ys = left + (np.arange(cells) + 0.5) * CELL, top + (np.arange(cells) + 0.5) * CELL
    classes = np.zeros((cells, cells), np.float32)
    targets = np.zeros((cells, cells, 4), np.float32)
    for x, y, width, height in sorted(boxes, key=lambda box: -box[2] * box[3]):
        across, down = np.abs(xs - x)[np.newaxis], np.abs(ys - y)[:, np.newaxis]
        near = (across < width / 2 + MARGIN) & (down < height / 2 + MARGIN)
        core = (across <= max(CORE * width, LEAST_CORE)) & (down <= max(CORE * height, LEAST_CORE))
        classes[near & (classes < 1)] = -1
        classes[core] = 1
        sizes = np.log([width / BOX_UNIT, height / BOX_UNIT])
        offsets = (((x - xs) / BOX_UNIT)[np.newaxis], ((y - ys) / BOX_UNIT)[:, np.newaxis])
        box = np.stack(np.broadcast_arrays(*offsets, *sizes), axis=-1).astype(np.float32)
        targets[core] = box[core]
    return classes, targets


class _BatchSampler:
    """Samples batches of X-rays, a copy of each X-ray and a crop of each copy."""

    def __init__(
        self,
        features: CachedFeatures,
        xrays: Sequence[Xray],
        train: NDArray[np.int64],
        recipe: FindingRecipe,
        crop: int,
        random: np.random.Generator,
    ) -> None:
        self._features, self._xrays, self._recipe, self._crop, self.random = (
            features,
            xrays,
            recipe,
            crop,
            random,
        )
        fractured = np.array([xrays[number].fractured for number in train])
        self._fractured, self._unfractured = train[fractured], train[~fractured]
        if len(self._fractured) < recipe.fractured or len(self._unfractured) < recipe.unfractured:
            raise TrainingRefused(
                f"A step needs {recipe.fractured} fractured and {recipe.unfractured} unfractured X-rays; there are "
                f"{len(self._fractured)} and {len(self._unfractured)} to train on."
            )
        self.hard_negative_weights = np.ones(len(xrays))

    def batch(self) -> tuple[NDArray[np.int64], dict[str, NDArray[Any]]]:
        """Returns the indices of the sampled X-rays and the arrays of a training step."""
        weights = self.hard_negative_weights[self._unfractured] ** self._recipe.hard
        drawn = np.concatenate(
            [
                self.random.choice(self._fractured, self._recipe.fractured, replace=False),
                self.random.choice(
                    self._unfractured, self._recipe.unfractured, replace=False, p=weights / weights.sum()
                ),
            ]
        )
        examples = [self._example(self._xrays[number], self._features.rows[number]) for number in drawn]
        return drawn, {name: np.stack([each[name] for each in examples]) for name in examples[0]}

    def update_weights(self, drawn: NDArray[np.int64], scores: NDArray[np.float32]) -> None:
        """Updates the hard-negative sampling weights of X-rays from their scores in [0, 2]."""
        for number, score in zip(drawn, scores, strict=True):
            weight = self.hard_negative_weights[number]
            self.hard_negative_weights[number] = 0.5 * weight + 0.5 * (0.3 + 1.5 * float(score))

    def _example(self, xray: Xray, rows: list[int]) -> dict[str, NDArray[Any]]:
        plain = len(rows) == 1 or self.random.random() < self._recipe.plain
        row = rows[0] if plain else int(self.random.choice(rows[1:]))
        boxes, crop = self._features.boxes[row], self._crop // COARSE
        limits = [self._features.coarse.shape[axis] - crop for axis in (2, 1)]
        left, top = (int(self.random.integers(limit + 1)) for limit in limits)
        if boxes and max(limits):
            box = boxes[int(self.random.integers(len(boxes)))]
            left, top = (
                self._crop_around(centre, crop, limit) for centre, limit in zip(box, limits, strict=False)
            )
        classes, targets = cell_targets(boxes, left * COARSE, top * COARSE, self._crop)
        if xray.fractured and not boxes:
            # A fracture without a box: only the image-level losses use this example.
            classes[:] = -1
        return {
            "fine": self._features.fine[row, 2 * top : 2 * (top + crop), 2 * left : 2 * (left + crop)],
            "coarse": self._features.coarse[row, top : top + crop, left : left + crop],
            "classes": classes,
            "boxes": targets,
            "label": np.asarray((classes > 0).any() if boxes else xray.fractured, np.float32),
            "body_parts": np.array(xray.body_parts or [0] * len(BODY_PARTS), np.float32),
            "body_parts_known": np.asarray(xray.body_parts is not None, np.float32),
        }

    def _crop_around(self, centre: float, crop: int, limit: int) -> int:
        """Returns a random offset, in coarse cells up to `limit`, of a crop that contains a position in pixels."""
        low, high = max(0, math.ceil(centre / COARSE - crop + 1)), min(limit, math.floor(centre / COARSE - 1))
        if high < low:
            return int(np.clip(round(centre / COARSE - crop / 2), 0, limit))
        return int(self.random.integers(low, high + 1))


def fit(
    model: keras.Model,
    recipe: FindingRecipe,
    features: CachedFeatures,
    xrays: Sequence[Xray],
    train: NDArray[np.int64],
    run: FindingFit,
) -> list[dict[str, float]]:
    """Trains a network in place for all cycles of the recipe. Its final weights are the moving average.

    Args:
        model: Network from ml.networks.finding.build.
        recipe: Hyperparameters.
        features: Cached backbone features of the X-rays.
        xrays: All X-rays of the run.
        train: Indices of the X-rays to train on.
        run: Options of the fit.

    Returns:
        The losses, averaged over every STEPS_BETWEEN_CHECKPOINTS steps.

    Raises:
        TrainingRefused: There are too few fractured or unfractured X-rays for a batch.
        TrainingStopped: run.should_stop returned True; the same call resumes from the last checkpoint.
    """
    history = []
    for cycle in range(len(recipe.cycles)):
        history += fit_cycle(model, recipe, features, xrays, train, replace(run, cycle=cycle))
    return history


def fit_cycle(
    model: keras.Model,
    recipe: FindingRecipe,
    features: CachedFeatures,
    xrays: Sequence[Xray],
    train: NDArray[np.int64],
    run: FindingFit,
) -> list[dict[str, float]]:
    """Trains a network in place for the cycle run.cycle of the recipe; the arguments are those of `fit`."""
    cycle, trainable = recipe.cycles[run.cycle], split(model)[1]
    random = np.random.default_rng([run.seed, run.number, run.cycle])
    state = _TrainingState(trainable, recipe, random)
    sampler = _BatchSampler(features, xrays, train, recipe, cycle.crop, random)
    if run.checkpoint.exists():
        sampler.hard_negative_weights = state.load(run.checkpoint)
    step = _step(trainable, state.optimizer, recipe, cycle.part_loss)
    earlier = sum(other.steps for other in recipe.cycles[: run.cycle])
    total = sum(other.steps for other in recipe.cycles)
    earlier_epochs = sum(_num_epochs(other.steps) for other in recipe.cycles[: run.cycle])
    epochs = sum(_num_epochs(other.steps) for other in recipe.cycles)
    last_report, recent = 0.0, []
    while state.done < cycle.steps:
        warm_up = min(1.0, state.done / max(recipe.warm_up, 1))
        cosine = 0.5 + 0.5 * math.cos(math.pi * state.done / cycle.steps)
        state.optimizer.learning_rate = recipe.learning_rate * warm_up * cosine
        drawn, arrays = sampler.batch()
        losses, scores = step(**{name: tf.constant(array) for name, array in arrays.items()})
        sampler.update_weights(drawn, scores.numpy())
        state.update_averages(recipe.average)
        recent.append({name: float(loss) for name, loss in losses.items()})
        last = state.done == cycle.steps
        is_checkpoint = last or state.done % STEPS_BETWEEN_CHECKPOINTS == 0
        if is_checkpoint:
            state.history.append(
                {name: float(np.mean([loss[name] for loss in recent])) for name in recent[0]}
            )
            recent = []
            state.save(run.checkpoint, sampler.hard_negative_weights)
        if time.monotonic() - last_report > SECONDS_BETWEEN_EVENTS or is_checkpoint:
            last_report = time.monotonic()
            left = run.remaining.estimate(run.number + (earlier + state.done) / total)
            before = (_num_epochs(state.done) - 1) * STEPS_BETWEEN_CHECKPOINTS
            steps = min(STEPS_BETWEEN_CHECKPOINTS, cycle.steps - before)
            metrics = state.history[-1] if is_checkpoint else recent[-1]
            epoch = earlier_epochs + _num_epochs(state.done)
            run.on_progress(ProgressEvent(run.name, epoch, epochs, state.done - before, steps, metrics, left))
        if run.should_stop() and not last:
            raise TrainingStopped
    for variable, value in zip(trainable.trainable_variables, state.averages, strict=True):
        variable.assign(value)
    return state.history


def _num_epochs(steps: int) -> int:
    """Returns the number of epochs for progress events: the steps between two checkpoints are one epoch."""
    return math.ceil(steps / STEPS_BETWEEN_CHECKPOINTS)


def _step(
    trainable: keras.Model, optimizer: keras.Optimizer, recipe: FindingRecipe, part_loss: float
) -> Callable[..., Any]:
    variables = trainable.trainable_variables
    cross_entropy = tf.nn.sigmoid_cross_entropy_with_logits

    def step(
        fine: tf.Tensor,
        coarse: tf.Tensor,
        classes: tf.Tensor,
        boxes: tf.Tensor,
        label: tf.Tensor,
        body_parts: tf.Tensor,
        body_parts_known: tf.Tensor,
    ) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        with tf.GradientTape() as tape:
            inputs = [tf.cast(fine, tf.float32), tf.cast(coarse, tf.float32)]
            outputs = trainable(inputs, training=True)
            logits = outputs["map"][..., 0]
            core, outside = tf.cast(classes > 0, tf.float32), tf.cast(classes == 0, tf.float32)
            probability = tf.sigmoid(logits)
            # Focal loss with gamma = 2 (Lin et al. 2017).
            positive_loss = tf.nn.softplus(-logits) * (1 - probability) ** 2 * core
            negative_loss = tf.nn.softplus(logits) * probability**2 * outside
            cores = tf.maximum(tf.reduce_sum(core, (1, 2)), 1.0)
            with_core = tf.maximum(tf.reduce_sum(tf.reduce_max(core, (1, 2))), 1.0)
            positive_loss = tf.reduce_sum(tf.reduce_sum(positive_loss, (1, 2)) / cores)
            cells = (positive_loss + UNFRACTURED_CELLS * tf.reduce_sum(negative_loss)) / with_core
            distances = keras.losses.huber(boxes, outputs["box"]) * core
            box = tf.reduce_sum(tf.reduce_sum(distances, (1, 2)) / cores) / with_core
            highest = tf.reduce_logsumexp(logits, (1, 2))
            pooled = outputs["finding"][:, 0]
            picture = tf.reduce_mean(cross_entropy(label, pooled))
            by_map = tf.reduce_mean(cross_entropy(label, highest))
            body_part = tf.reduce_mean(cross_entropy(body_parts, outputs["part"]) * body_parts_known[:, None])
            total = cells + picture + recipe.box_loss * box + recipe.map_loss * by_map + part_loss * body_part
        optimizer.apply_gradients(zip(tape.gradient(total, variables), variables, strict=True))
        losses = {
            "loss": total,
            "cells": cells,
            "box": box,
            "picture": picture,
            "map": by_map,
            "part": body_part,
        }
        return losses, tf.sigmoid(pooled) + tf.sigmoid(highest)

    compiled: Callable[..., Any] = tf.function(step)
    return compiled


class _TrainingState:
    """State of a fit in its checkpoints: weights and their average, optimizer, random generator and losses."""

    def __init__(self, trainable: keras.Model, recipe: FindingRecipe, random: np.random.Generator) -> None:
        self.random, self.done = random, 0
        self.history: list[dict[str, float]] = []
        self._trainable = trainable
        self.optimizer = keras.optimizers.AdamW(
            recipe.learning_rate, weight_decay=recipe.weight_decay, global_clipnorm=3.0
        )
        self.optimizer.exclude_from_weight_decay(var_names=["bias"])
        self.optimizer.build(trainable.trainable_variables)
        self.averages = [variable.numpy().copy() for variable in trainable.trainable_variables]

    def update_averages(self, decay: float) -> None:
        # With a constant decay, the initial weights would dominate the average for the first steps.
        decay = min(decay, (1 + self.done) / (10 + self.done))
        for mean, variable in zip(self.averages, self._trainable.trainable_variables, strict=True):
            mean *= decay
            mean += (1 - decay) * variable.numpy()
        self.done += 1

    def save(self, path: Path, hard_negative_weights: NDArray[np.float64]) -> None:
        arrays = {
            f"weight-{number}": v.numpy() for number, v in enumerate(self._trainable.trainable_variables)
        }
        arrays |= {f"average-{number}": mean for number, mean in enumerate(self.averages)}
        arrays |= {f"optimizer-{number}": v.numpy() for number, v in enumerate(self.optimizer.variables)}
        progress = {"done": self.done, "history": self.history, "random": self.random.bit_generator.state}
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".part.npz")
        # The names of the arrays stay the same, so that earlier checkpoints can be loaded.
        np.savez(temporary, hardness=hard_negative_weights, told=np.array(json.dumps(progress)), **arrays)
        temporary.replace(path)

    def load(self, path: Path) -> NDArray[np.float64]:
        """Restores the state and returns the hard-negative sampling weights."""
        with np.load(path, allow_pickle=False) as saved:
            progress = json.loads(str(saved["told"]))
            self.done, self.history = progress["done"], progress["history"]
            self.random.bit_generator.state = progress["random"]
            for number, variable in enumerate(self._trainable.trainable_variables):
                variable.assign(saved[f"weight-{number}"])
            self.averages = [saved[f"average-{number}"].copy() for number in range(len(self.averages))]
            for number, variable in enumerate(self.optimizer.variables):
                variable.assign(saved[f"optimizer-{number}"])
            return np.asarray(saved["hardness"])
