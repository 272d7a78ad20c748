"""Fits the finding network on parts of cached views; resumable. The same seed draws the same parts.

Sums that several threads share may round differently, so two runs are alike and not equal to the last bit.
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

from ml.data.findings import PARTS, Box, Xray
from ml.networks.finding import BOX_UNIT, CELL, FindingRecipe, split
from ml.progress import ProgressCallback, ProgressEvent, RemainingTime
from ml.train.finding_views import Views
from ml.train.fitting import TrainingStopped
from ml.train.input_pipeline import TrainingRefused

# A cell of the coarser frozen output, in pixels.
COARSE = 16
# The part of a box around its centre whose cells are positive, as a share of its sides, and at least so many pixels.
CORE, LEAST_CORE = 0.3, 5.7
# Cells of a box outside its core, and so many pixels around it, do not count.
MARGIN = 6
# Weight of the unfractured cells, summed, against the fractured cells, averaged.
UNFRACTURED_CELLS = 0.1
STEPS_BETWEEN_CHECKPOINTS = 100
SECONDS_BETWEEN_EVENTS = 1.0
SCORED_AT_ONCE = 16


@dataclass(frozen=True)
class FindingFit:
    """One of the fits of a run.

    name: in events and of the checkpoints. number: of the fit, from 0. cycle: of the recipe's, from 0. The seed and
        these two decide what is drawn.
    """

    name: str
    number: int
    seed: int
    work: Path
    key: str
    remaining: RemainingTime
    tell: ProgressCallback = lambda event: None
    should_stop: Callable[[], bool] = lambda: False
    cycle: int = 0

    @property
    def checkpoint(self) -> Path:
        return self.work / f"{self.key}-{self.name.replace(' ', '-')}-{self.cycle + 1}.npz"


@dataclass(frozen=True, eq=False)
class Scores:
    """What a network says of n plain views: maps (n, h, w), boxes (n, h, w, 4), pooled (n,), parts (n, 4); logits."""

    maps: NDArray[np.float32]
    boxes: NDArray[np.float32]
    pooled: NDArray[np.float32]
    parts: NDArray[np.float32]


def cell_targets(
    boxes: Sequence[Box], left: int, top: int, side: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Returns what a part of a view should answer in each cell of the map.

    Args:
        boxes: (centre x, centre y, width, height) in the view's pixels.
        left, top, side: the part, in pixels.

    Returns:
        classes (cells, cells): 1 in the core of a box, 0 outside of boxes, -1 where the cell does not count; and
        the box (cells, cells, 4) of each core's cells, in the network's units. Smaller boxes go before larger.
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


class _Draws:
    """Draws batches: X-rays, views of them and parts of the views."""

    def __init__(
        self,
        views: Views,
        xrays: Sequence[Xray],
        train: NDArray[np.int64],
        recipe: FindingRecipe,
        crop: int,
        random: np.random.Generator,
    ) -> None:
        self._views, self._xrays, self._recipe, self._crop, self.random = views, xrays, recipe, crop, random
        fractured = np.array([xrays[number].fractured for number in train])
        self._fractured, self._unfractured = train[fractured], train[~fractured]
        if len(self._fractured) < recipe.fractured or len(self._unfractured) < recipe.unfractured:
            raise TrainingRefused(
                f"A step needs {recipe.fractured} fractured and {recipe.unfractured} unfractured X-rays; there are "
                f"{len(self._fractured)} and {len(self._unfractured)} to learn from."
            )
        self.hardness = np.ones(len(xrays))

    def batch(self) -> tuple[NDArray[np.int64], dict[str, NDArray[Any]]]:
        """Returns which X-rays were drawn, and the arrays of a step."""
        weights = self.hardness[self._unfractured] ** self._recipe.hard
        drawn = np.concatenate(
            [
                self.random.choice(self._fractured, self._recipe.fractured, replace=False),
                self.random.choice(
                    self._unfractured, self._recipe.unfractured, replace=False, p=weights / weights.sum()
                ),
            ]
        )
        parts = [self._part(self._xrays[number], self._views.rows[number]) for number in drawn]
        return drawn, {name: np.stack([part[name] for part in parts]) for name in parts[0]}

    def learn(self, drawn: NDArray[np.int64], scores: NDArray[np.float32]) -> None:
        """Notes the scores of X-rays, 0 to 2, for how often they are drawn."""
        for number, score in zip(drawn, scores, strict=True):
            self.hardness[number] = 0.5 * self.hardness[number] + 0.5 * (0.3 + 1.5 * float(score))

    def _part(self, xray: Xray, rows: list[int]) -> dict[str, NDArray[Any]]:
        plain = len(rows) == 1 or self.random.random() < self._recipe.plain
        row = rows[0] if plain else int(self.random.choice(rows[1:]))
        boxes, crop = self._views.boxes[row], self._crop // COARSE
        places = [self._views.coarse.shape[axis] - crop for axis in (2, 1)]
        left, top = (int(self.random.integers(place + 1)) for place in places)
        if boxes and max(places):
            box = boxes[int(self.random.integers(len(boxes)))]
            left, top = (
                self._holding(centre, crop, place) for centre, place in zip(box, places, strict=False)
            )
        classes, targets = cell_targets(boxes, left * COARSE, top * COARSE, self._crop)
        if xray.fractured and not boxes:
            # It is broken somewhere: only the pooled score learns from it.
            classes[:] = -1
        return {
            "fine": self._views.fine[row, 2 * top : 2 * (top + crop), 2 * left : 2 * (left + crop)],
            "coarse": self._views.coarse[row, top : top + crop, left : left + crop],
            "classes": classes,
            "boxes": targets,
            "label": np.asarray((classes > 0).any() if boxes else xray.fractured, np.float32),
            "parts": np.array(xray.parts or [0] * len(PARTS), np.float32),
            "parts_known": np.asarray(xray.parts is not None, np.float32),
        }

    def _holding(self, centre: float, crop: int, place: int) -> int:
        low, high = max(0, math.ceil(centre / COARSE - crop + 1)), min(place, math.floor(centre / COARSE - 1))
        if high < low:
            return int(np.clip(round(centre / COARSE - crop / 2), 0, place))
        return int(self.random.integers(low, high + 1))


def fit(
    model: keras.Model,
    recipe: FindingRecipe,
    views: Views,
    xrays: Sequence[Xray],
    train: NDArray[np.int64],
    run: FindingFit,
) -> list[dict[str, float]]:
    """Trains a network in place; it ends with the moving average of its weights.

    Returns:
        The mean losses of each STEPS_BETWEEN_CHECKPOINTS steps.

    Raises:
        TrainingStopped: run.should_stop said so; the same call resumes from the last checkpoint.
    """
    history = []
    for cycle in range(len(recipe.cycles)):
        history += fit_cycle(model, recipe, views, xrays, train, replace(run, cycle=cycle))
    return history


def fit_cycle(
    model: keras.Model,
    recipe: FindingRecipe,
    views: Views,
    xrays: Sequence[Xray],
    train: NDArray[np.int64],
    run: FindingFit,
) -> list[dict[str, float]]:
    """Trains for one cycle of the recipe; see fit."""
    cycle, learning = recipe.cycles[run.cycle], split(model)[1]
    random = np.random.default_rng([run.seed, run.number, run.cycle])
    state = _State(learning, recipe, random)
    draws = _Draws(views, xrays, train, recipe, cycle.crop, random)
    if run.checkpoint.exists():
        draws.hardness = state.load(run.checkpoint)
    step = _step(learning, state.optimizer, recipe, cycle.part_loss)
    earlier = sum(other.steps for other in recipe.cycles[: run.cycle])
    total = sum(other.steps for other in recipe.cycles)
    told, recent = 0.0, []
    while state.done < cycle.steps:
        rise = min(1.0, state.done / max(recipe.warm_up, 1))
        fall = 0.5 + 0.5 * math.cos(math.pi * state.done / cycle.steps)
        state.optimizer.learning_rate = recipe.learning_rate * rise * fall
        drawn, arrays = draws.batch()
        losses, scores = step(**{name: tf.constant(array) for name, array in arrays.items()})
        draws.learn(drawn, scores.numpy())
        state.average(recipe.average)
        recent.append({name: float(loss) for name, loss in losses.items()})
        last = state.done == cycle.steps
        if state.done % STEPS_BETWEEN_CHECKPOINTS == 0 or last:
            state.history.append(
                {name: float(np.mean([loss[name] for loss in recent])) for name in recent[0]}
            )
            recent = []
            state.save(run.checkpoint, draws.hardness)
        if time.monotonic() - told > SECONDS_BETWEEN_EVENTS or last:
            told, done = time.monotonic(), earlier + state.done
            metrics = {name: float(loss) for name, loss in losses.items()}
            left = run.remaining.estimate(run.number + done / total)
            run.tell(ProgressEvent(run.name, run.cycle + 1, len(recipe.cycles), done, total, metrics, left))
        if run.should_stop() and not last:
            raise TrainingStopped
    for variable, value in zip(learning.trainable_variables, state.averages, strict=True):
        variable.assign(value)
    return state.history


def scores_of(model: keras.Model, views: Views, numbers: NDArray[np.int64]) -> Scores:
    """Returns what a network says of X-rays as they are, by their numbers."""
    learning = split(model)[1]
    answer = tf.function(lambda fine, coarse: learning([fine, coarse], training=False))
    found: dict[str, list[NDArray[np.float32]]] = {"map": [], "box": [], "finding": [], "part": []}
    for first in range(0, len(numbers), SCORED_AT_ONCE):
        rows = [views.rows[number][0] for number in numbers[first : first + SCORED_AT_ONCE]]
        outputs = answer(views.fine[rows].astype(np.float32), views.coarse[rows].astype(np.float32))
        for name, values in found.items():
            values.append(outputs[name].numpy())
    joined = {name: np.concatenate(values) for name, values in found.items()}
    return Scores(joined["map"][..., 0], joined["box"], joined["finding"][:, 0], joined["part"])


def _step(
    learning: keras.Model, optimizer: keras.Optimizer, recipe: FindingRecipe, part_loss: float
) -> Callable[..., Any]:
    variables = learning.trainable_variables
    cross_entropy = tf.nn.sigmoid_cross_entropy_with_logits

    def step(
        fine: tf.Tensor,
        coarse: tf.Tensor,
        classes: tf.Tensor,
        boxes: tf.Tensor,
        label: tf.Tensor,
        parts: tf.Tensor,
        parts_known: tf.Tensor,
    ) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        with tf.GradientTape() as tape:
            inputs = [tf.cast(fine, tf.float32), tf.cast(coarse, tf.float32)]
            outputs = learning(inputs, training=True)
            logits = outputs["map"][..., 0]
            core, outside = tf.cast(classes > 0, tf.float32), tf.cast(classes == 0, tf.float32)
            share = tf.sigmoid(logits)
            # The focal loss, gamma 2 (Lin et al. 2017).
            missed = tf.nn.softplus(-logits) * (1 - share) ** 2 * core
            alarmed = tf.nn.softplus(logits) * share**2 * outside
            cores = tf.maximum(tf.reduce_sum(core, (1, 2)), 1.0)
            with_core = tf.maximum(tf.reduce_sum(tf.reduce_max(core, (1, 2))), 1.0)
            missed = tf.reduce_sum(tf.reduce_sum(missed, (1, 2)) / cores)
            cells = (missed + UNFRACTURED_CELLS * tf.reduce_sum(alarmed)) / with_core
            distances = keras.losses.huber(boxes, outputs["box"]) * core
            box = tf.reduce_sum(tf.reduce_sum(distances, (1, 2)) / cores) / with_core
            highest = tf.reduce_logsumexp(logits, (1, 2))
            pooled = outputs["finding"][:, 0]
            picture = tf.reduce_mean(cross_entropy(label, pooled))
            by_map = tf.reduce_mean(cross_entropy(label, highest))
            part = tf.reduce_mean(cross_entropy(parts, outputs["part"]) * parts_known[:, None])
            total = cells + picture + recipe.box_loss * box + recipe.map_loss * by_map + part_loss * part
        optimizer.apply_gradients(zip(tape.gradient(total, variables), variables, strict=True))
        losses = {"cells": cells, "box": box, "picture": picture, "map": by_map, "part": part}
        return losses, tf.sigmoid(pooled) + tf.sigmoid(highest)

    compiled: Callable[..., Any] = tf.function(step)
    return compiled


class _State:
    """What a fit resumes from: weights, their average, the optimizer, the random generator, the losses."""

    def __init__(self, learning: keras.Model, recipe: FindingRecipe, random: np.random.Generator) -> None:
        self.random, self.done = random, 0
        self.history: list[dict[str, float]] = []
        self._learning = learning
        self.optimizer = keras.optimizers.AdamW(
            recipe.learning_rate, weight_decay=recipe.weight_decay, global_clipnorm=3.0
        )
        self.optimizer.exclude_from_weight_decay(var_names=["bias"])
        self.optimizer.build(learning.trainable_variables)
        self.averages = [variable.numpy().copy() for variable in learning.trainable_variables]

    def average(self, decay: float) -> None:
        # In the first steps a constant decay would keep mostly the starting weights.
        decay = min(decay, (1 + self.done) / (10 + self.done))
        for mean, variable in zip(self.averages, self._learning.trainable_variables, strict=True):
            mean *= decay
            mean += (1 - decay) * variable.numpy()
        self.done += 1

    def save(self, path: Path, hardness: NDArray[np.float64]) -> None:
        arrays = {
            f"weight-{number}": v.numpy() for number, v in enumerate(self._learning.trainable_variables)
        }
        arrays |= {f"average-{number}": mean for number, mean in enumerate(self.averages)}
        arrays |= {f"optimizer-{number}": v.numpy() for number, v in enumerate(self.optimizer.variables)}
        told = {"done": self.done, "history": self.history, "random": self.random.bit_generator.state}
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_suffix(".part.npz")
        np.savez(aside, hardness=hardness, told=np.array(json.dumps(told)), **arrays)
        aside.replace(path)

    def load(self, path: Path) -> NDArray[np.float64]:
        with np.load(path, allow_pickle=False) as saved:
            told = json.loads(str(saved["told"]))
            self.done, self.history = told["done"], told["history"]
            self.random.bit_generator.state = told["random"]
            for number, variable in enumerate(self._learning.trainable_variables):
                variable.assign(saved[f"weight-{number}"])
            self.averages = [saved[f"average-{number}"].copy() for number in range(len(self.averages))]
            for number, variable in enumerate(self.optimizer.variables):
                variable.assign(saved[f"optimizer-{number}"])
            return np.asarray(saved["hardness"])
