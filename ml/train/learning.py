"""Recipe + manifest -> a trained network, and what such networks say of images they did not learn from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from ml.data.folds import grouped_folds
from ml.data.manifests import Item, Manifest
from ml.events import Remaining, Tell
from ml.networks import architectures
from ml.networks.recipes import ENOUGH_HELD_OUT, PRETRAINED, Recipe
from ml.serve.bundle import TRAINING_IMAGES, Bundle, open_bundle
from ml.serve.export import load_keras
from ml.train.fitting import Fit, Progress, computing_in, fit, logits_of
from ml.train.input_pipeline import Examples, TrainingRefused, decode, run_trunk


@dataclass(frozen=True)
class Run:
    """What a training run needs to know besides the recipe and the manifest.

    work: the folder for checkpoints and decoded images. weights: a file of pretrained weights, instead
    of the one that comes with the recipe. start: a bundle to go on from instead. origin: licences and
    attributions, for the card. whole_bones: a folder of X-rays of whole bones, to measure what the
    model makes of them.
    """

    work: Path
    seed: int = 0
    weights: Path | None = None
    start: Path | None = None
    origin: dict[str, Any] | None = None
    whole_bones: Path | None = None
    tell: Tell = lambda event: None
    should_stop: Callable[[], bool] = lambda: False


@dataclass(frozen=True, eq=False)
class Answers:
    """What models say of n images they did not learn from: logits (n, classes), labels (n,), groups."""

    logits: NDArray[np.float32]
    labels: NDArray[np.int64]
    groups: list[str]


@dataclass(frozen=True, eq=False)
class Learned:
    """A trained float32 model, the figures of its epochs, and answers to calibrate it with."""

    model: keras.Model
    progress: Progress
    fold_progress: list[Progress]
    held_out: Answers


def learn(recipe: Recipe, manifest: Manifest, run: Run) -> Learned:
    """Trains on the manifest's train and validation parts as the recipe says; the test part is not read.

    Raises:
        TrainingRefused: the manifest, the weights or an image cannot be used.
        ml.train.fitting.TrainingStopped: run.should_stop said so; the same call resumes.
    """
    _check(recipe, manifest, run)
    items = [*manifest.subset("train"), *manifest.subset("validation")]
    learner = _Learner(recipe, manifest, items, run)
    return learner.cross_fit() if recipe.folds else learner.fit_once()


def labels_of(items: Sequence[Item], classes: Sequence[str]) -> NDArray[np.int64]:
    """Returns each item's class by its position in classes, (n,)."""
    number = {name: position for position, name in enumerate(classes)}
    return np.array([number[item.label] for item in items], np.int64)


class _Learner:
    """Fits one recipe to one manifest's images, once or fold by fold."""

    def __init__(self, recipe: Recipe, manifest: Manifest, items: list[Item], run: Run) -> None:
        self.recipe, self.run, self.classes = recipe, run, manifest.classes
        self.labels = labels_of(items, manifest.classes)
        self.groups = [item.group for item in items]
        self.key = _key(recipe, manifest, run)
        self.start = self._build()
        self.num_train = len(manifest.subset("train"))
        # What calibrates; known before anything long begins, because there may be too few.
        self.held_out = _held_out(items, 0 if recipe.folds else self.num_train, run.start)
        self.examples = self._examples(manifest, items)

    def fit_once(self) -> Learned:
        train = np.arange(self.num_train)
        model, progress = self._fit("train", train, self.held_out, 0, Remaining(1), keep_best=True)
        return Learned(model, progress, [], self._answers(model, self.held_out))

    def cross_fit(self) -> Learned:
        recipe, held_out, everything = self.recipe, self.held_out, np.arange(len(self.labels))
        try:
            folds = grouped_folds(self.labels, self.groups, recipe.folds, self.run.seed)
        except ValueError as error:
            raise TrainingRefused(f"The recipe {recipe.name!r} needs more images: {error}") from error
        remaining, done = Remaining(recipe.folds + 1), []
        logits = np.zeros((len(everything), len(self.classes)), np.float32)
        for fold in range(recipe.folds):
            inside, outside = held_out[folds[held_out] == fold], np.flatnonzero(folds != fold)
            model, progress = self._fit(f"fold {fold + 1}", outside, inside, fold, remaining, keep_best=False)
            if len(inside):
                logits[inside] = self._answers(model, inside).logits
            done.append(progress)
        model, progress = self._fit(
            "train", everything, everything[:0], recipe.folds, remaining, keep_best=False
        )
        groups = [self.groups[index] for index in held_out]
        return Learned(model, progress, done, Answers(logits[held_out], self.labels[held_out], groups))

    def _fit(
        self,
        name: str,
        train: NDArray[np.int64],
        validation: NDArray[np.int64],
        number: int,
        remaining: Remaining,
        keep_best: bool,
    ) -> tuple[keras.Model, Progress]:
        run = Fit(
            name=name,
            checkpoint=self.run.work / f"{self.key}-{name.replace(' ', '-')}.npz",
            seed=self.run.seed,
            number=number,
            keep_best=keep_best,
            tell=self.run.tell,
            remaining=remaining,
            should_stop=self.run.should_stop,
        )
        with computing_in(self.recipe.precision):
            learning = self._build()
        if self.recipe.freeze_norms:
            for layer in learning.layers:
                layer.trainable = layer.trainable and not isinstance(layer, keras.layers.BatchNormalization)
        learning.set_weights(self.start.get_weights())
        progress = fit(self._learning_part(learning), self.recipe, self.examples, train, validation, run)
        model = self._build()
        model.set_weights(learning.get_weights())
        return model, progress

    def _answers(self, model: keras.Model, indices: NDArray[np.int64]) -> Answers:
        part = self._learning_part(model)
        logits = logits_of(part, self.examples, indices)
        if self.recipe.mirror and self.recipe.trunk:
            logits = np.mean([logits, logits_of(part, self.examples, indices, view=1)], axis=0)
        return Answers(logits, self.labels[indices], [self.groups[index] for index in indices])

    def _learning_part(self, model: keras.Model) -> keras.Model:
        return architectures.split(model, self.recipe.trunk)[1] if self.recipe.trunk else model

    def _examples(self, manifest: Manifest, items: list[Item]) -> Examples:
        recipe, run = self.recipe, self.run
        targets = np.eye(len(self.classes), dtype=np.float32)[self.labels]
        numbers = np.unique(self.groups, return_inverse=True)[1]
        if recipe.trunk is None:
            images = decode(manifest, items, recipe.input, run.work, run.tell)
            return Examples(images[np.newaxis], targets, numbers, recipe.input)
        trunk, _ = architectures.split(self.start, recipe.trunk)
        outputs = run_trunk(trunk, manifest, items, recipe, run.seed, run.work, run.tell)
        return Examples(outputs, targets, numbers, recipe.input)

    def _build(self) -> keras.Model:
        recipe, run = self.recipe, self.run
        keras.utils.set_random_seed(run.seed)
        try:
            model = architectures.build(
                recipe.architecture,
                recipe.input.size,
                len(self.classes),
                dropout=recipe.dropout,
                weights=weights_of(recipe, run),
            )
        except (OSError, ValueError) as error:
            file = weights_of(recipe, run)
            raise TrainingRefused(f"{file} does not fit the recipe {recipe.name!r}.") from error
        if run.start is not None:
            _start_from(model, self.classes, open_bundle(run.start))
        return model


def _check(recipe: Recipe, manifest: Manifest, run: Run) -> None:
    if len(manifest.classes) < 2:
        raise TrainingRefused("The manifest has one class only; there is nothing to tell apart.")
    trained = {item.label for item in manifest.subset("train")}
    if missing := sorted(set(manifest.classes) - trained):
        raise TrainingRefused(f"The manifest has no training image of the class {missing[0]!r}.")


def weights_of(recipe: Recipe, run: Run) -> Path | None:
    """Returns the file of pretrained weights that a run starts from, if it does."""
    if run.start is not None:
        return None
    return run.weights or (PRETRAINED / recipe.pretrained if recipe.pretrained else None)


def _held_out(items: Sequence[Item], first: int, start: Path | None) -> NDArray[np.int64]:
    """Returns which items, from the first that may, calibrate: of what it learned from, a model is far too sure.

    Another view of a fracture that the start learned from is no news to it either, so whole groups are left out.

    Raises:
        TrainingRefused: the weights that the run starts from have learned from too many of them.
    """
    indices: NDArray[np.int64] = np.arange(first, len(items))
    if start is None:
        return indices
    told = start / TRAINING_IMAGES
    if not told.exists():
        raise TrainingRefused(
            f"{start} does not say which images it learned from, so nothing can start from it."
        )
    seen = set(told.read_text(encoding="ascii").split())
    familiar = {item.group for item in items if item.sha256 in seen}
    unseen: NDArray[np.int64] = indices[
        np.array([item.group not in familiar for item in items[first:]], bool)
    ]
    if len(unseen) < min(ENOUGH_HELD_OUT, len(indices)):
        raise TrainingRefused(
            f"The model to start from knows the fractures of {len(indices) - len(unseen)} of the {len(indices)} "
            "images that are to measure how sure the new one may be. Start from the pretrained network instead."
        )
    return unseen


def _start_from(model: keras.Model, classes: Sequence[str], bundle: Bundle) -> None:
    """Copies another bundle's weights; classes that it does not have keep their new part of the head."""
    earlier = load_keras(bundle.file("model.keras"))
    if earlier.name != model.name:
        raise TrainingRefused(f"{bundle.path} holds {earlier.name}, and the recipe trains {model.name}.")
    for layer in model.layers:
        if layer.name != "logits" and layer.weights:
            layer.set_weights(earlier.get_layer(layer.name).get_weights())
    kernel, bias = model.get_layer("logits").get_weights()
    old_kernel, old_bias = earlier.get_layer("logits").get_weights()
    for old, name in enumerate(bundle.classes):
        if name in classes:
            new = list(classes).index(name)
            kernel[:, new], bias[new] = old_kernel[:, old], old_bias[old]
    model.get_layer("logits").set_weights([kernel, bias])


def _key(recipe: Recipe, manifest: Manifest, run: Run) -> str:
    """Names the checkpoints: another recipe, manifest, seed or start does not resume this run."""
    start = open_bundle(run.start).checksum if run.start else ""
    file = weights_of(recipe, run)
    weights = hashlib.sha256(file.read_bytes()).hexdigest() if file else ""
    parts = [recipe.to_json(), manifest.checksum(), run.seed, start, weights]
    return "fit-" + hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
