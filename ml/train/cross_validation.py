"""Trains a model by a recipe, with cross-validation or one validation split, and predicts the held-out images."""

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
from ml.networks import architectures
from ml.networks.recipes import MIN_CALIBRATION_IMAGES, PRETRAINED, Recipe
from ml.progress import ProgressCallback, RemainingTime
from ml.serve.bundle import TRAINING_IMAGES, Bundle, open_bundle
from ml.serve.export import load_keras
from ml.train.fitting import FitOptions, FitProgress, dtype_policy, fit, predict_logits
from ml.train.input_pipeline import Examples, TrainingRefused, compute_backbone_outputs, decode_images
from ml.train.logistic_regression import fit_logistic_regression


@dataclass(frozen=True)
class RunOptions:
    """Options of a training run besides the recipe and the manifest.

    Attributes:
        work: Folder for checkpoints and caches, from which a run resumes.
        seed: Seed of everything random.
        weights: File with pretrained weights, instead of the recipe's.
        start: Bundle whose weights training starts from, instead of pretrained weights.
        origin: Licences and attributions of data and weights, for the card.
        normal_images: Folder of X-rays without fractures, on which the model is evaluated for the card.
        on_progress: Called with the progress.
        should_stop: Called after each step; stops the run when it returns True.
    """

    work: Path
    seed: int = 0
    weights: Path | None = None
    start: Path | None = None
    origin: dict[str, Any] | None = None
    normal_images: Path | None = None
    on_progress: ProgressCallback = lambda event: None
    should_stop: Callable[[], bool] = lambda: False


@dataclass(frozen=True, eq=False)
class HeldOutPredictions:
    """Predictions for n images by models that were not trained on them.

    Attributes:
        logits: float32 (n, classes).
        labels: int64 (n,), positions in the manifest's classes.
        groups: Group of each image.
    """

    logits: NDArray[np.float32]
    labels: NDArray[np.int64]
    groups: list[str]

    def save(self, path: Path) -> None:
        """Writes the predictions as .npz."""
        np.savez(path, logits=self.logits, labels=self.labels, groups=np.array(self.groups))

    @classmethod
    def load(cls, path: Path) -> HeldOutPredictions:
        """Reads predictions that `save` has written."""
        with np.load(path, allow_pickle=False) as saved:
            return cls(saved["logits"], saved["labels"], saved["groups"].tolist())


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """The result of training.

    Attributes:
        model: The float32 model.
        progress: Metrics of the model's epochs.
        fold_progress: Metrics of each fold's epochs; empty without cross-validation.
        held_out: Predictions for the images that calibrate the model.
    """

    model: keras.Model
    progress: FitProgress
    fold_progress: list[FitProgress]
    held_out: HeldOutPredictions


def train_model(recipe: Recipe, manifest: Manifest, run: RunOptions) -> TrainedModel:
    """Trains a model on the train and validation splits of a manifest. The test split is not read.

    Args:
        recipe: The recipe.
        manifest: The manifest.
        run: Options of the run.

    Raises:
        TrainingRefused: The manifest, the weights or an image cannot be used.
        ml.train.fitting.TrainingStopped: run.should_stop returned True; the same call resumes.
    """
    _check(recipe, manifest, run)
    items = [*manifest.subset("train"), *manifest.subset("validation")]
    trainer = _Trainer(recipe, manifest, items, run)
    return trainer.cross_validate() if recipe.folds else trainer.train_once()


def encode_labels(items: Sequence[Item], classes: Sequence[str]) -> NDArray[np.int64]:
    """Returns the position of each item's label in `classes`, int64 (n,)."""
    number = {name: position for position, name in enumerate(classes)}
    return np.array([number[item.label] for item in items], np.int64)


class _Trainer:
    """Trains the model of one recipe on the images of one manifest."""

    def __init__(self, recipe: Recipe, manifest: Manifest, items: list[Item], run: RunOptions) -> None:
        self.recipe, self.run, self.classes = recipe, run, manifest.classes
        self.labels = encode_labels(items, manifest.classes)
        self.groups = [item.group for item in items]
        self.key = _checkpoint_key(recipe, manifest, run)
        self.start = self._build()
        self.num_train = len(manifest.subset("train"))
        # Determined before anything that takes long, because there may be too few calibration images.
        self.held_out = _calibration_images(items, 0 if recipe.folds else self.num_train, run.start)
        self.examples = self._examples(manifest, items)

    def train_once(self) -> TrainedModel:
        """Trains on the train split; the validation split selects the epoch and calibrates."""
        train = np.arange(self.num_train)
        model, progress = self._fit("train", train, self.held_out, 0, RemainingTime(1), keep_best=True)
        return TrainedModel(model, progress, [], self._predict(model, self.held_out))

    def cross_validate(self) -> TrainedModel:
        """Trains a model for each fold, whose predictions calibrate, and the final model on all images."""
        recipe, held_out, all_images = self.recipe, self.held_out, np.arange(len(self.labels))
        try:
            folds = grouped_folds(self.labels, self.groups, recipe.folds, self.run.seed)
        except ValueError as error:
            raise TrainingRefused(f"The recipe {recipe.name!r} needs more images: {error}") from error
        remaining, fold_progress = RemainingTime(recipe.folds + 1), []
        logits = np.zeros((len(all_images), len(self.classes)), np.float32)
        for fold in range(recipe.folds):
            inside, outside = held_out[folds[held_out] == fold], np.flatnonzero(folds != fold)
            model, progress = self._fit(f"fold {fold + 1}", outside, inside, fold, remaining, keep_best=False)
            if len(inside):
                logits[inside] = self._predict(model, inside).logits
            fold_progress.append(progress)
        model, progress = self._fit(
            "train", all_images, all_images[:0], recipe.folds, remaining, keep_best=False
        )
        groups = [self.groups[index] for index in held_out]
        return TrainedModel(
            model,
            progress,
            fold_progress,
            HeldOutPredictions(logits[held_out], self.labels[held_out], groups),
        )

    def _fit(
        self,
        name: str,
        train: NDArray[np.int64],
        validation: NDArray[np.int64],
        number: int,
        remaining: RemainingTime,
        keep_best: bool,
    ) -> tuple[keras.Model, FitProgress]:
        options = FitOptions(
            name=name,
            checkpoint=self.run.work / f"{self.key}-{name.replace(' ', '-')}.npz",
            seed=self.run.seed,
            number=number,
            keep_best=keep_best,
            on_progress=self.run.on_progress,
            remaining=remaining,
            should_stop=self.run.should_stop,
        )
        if self.recipe.l2:
            # Only the last layer is fitted, again for each fold, so all folds share one network.
            sizes = architectures.feature_sizes(self.start)
            layers = self._trained_layers(self.start)
            return self.start, fit_logistic_regression(
                layers, sizes, self.recipe.l2, self.examples, train, validation, options
            )
        with dtype_policy(self.recipe.dtype_policy):
            trained = self._build()
        if self.recipe.freeze_batch_norm:
            for layer in trained.layers:
                layer.trainable = layer.trainable and not isinstance(layer, keras.layers.BatchNormalization)
        trained.set_weights(self.start.get_weights())
        progress = fit(self._trained_layers(trained), self.recipe, self.examples, train, validation, options)
        model = self._build()
        model.set_weights(trained.get_weights())
        return model, progress

    def _predict(self, model: keras.Model, indices: NDArray[np.int64]) -> HeldOutPredictions:
        trained = self._trained_layers(model)
        logits = predict_logits(trained, self.examples, indices)
        if self.recipe.test_time_flip and self.recipe.backbone_output:
            logits = np.mean([logits, predict_logits(trained, self.examples, indices, copy=1)], axis=0)
        return HeldOutPredictions(logits, self.labels[indices], [self.groups[index] for index in indices])

    def _trained_layers(self, model: keras.Model) -> keras.Model:
        return (
            architectures.split_at(model, self.recipe.backbone_output)[1]
            if self.recipe.backbone_output
            else model
        )

    def _examples(self, manifest: Manifest, items: list[Item]) -> Examples:
        recipe, run = self.recipe, self.run
        targets = np.eye(len(self.classes), dtype=np.float32)[self.labels]
        numbers = np.unique(self.groups, return_inverse=True)[1]
        if recipe.backbone_output is None:
            images = decode_images(manifest, items, recipe.input, run.work, run.on_progress)
            return Examples(images[np.newaxis], targets, numbers, recipe.input)
        backbone, _ = architectures.split_at(self.start, recipe.backbone_output)
        outputs = compute_backbone_outputs(
            backbone, manifest, items, recipe, run.seed, run.work, run.on_progress
        )
        return Examples(outputs, targets, numbers, recipe.input)

    def _build(self) -> keras.Model:
        recipe, run = self.recipe, self.run
        keras.utils.set_random_seed(run.seed)
        try:
            model = architectures.build_network(
                recipe.architecture,
                recipe.input.size,
                len(self.classes),
                dropout=recipe.dropout,
                weights=initial_weights_file(recipe, run),
            )
        except (OSError, ValueError) as error:
            file = initial_weights_file(recipe, run)
            raise TrainingRefused(f"The weights {file} do not fit the recipe {recipe.name!r}.") from error
        if run.start is not None:
            _copy_weights(model, self.classes, open_bundle(run.start))
        return model


def _check(recipe: Recipe, manifest: Manifest, run: RunOptions) -> None:
    if recipe.l2 and run.start is not None:
        raise TrainingRefused(
            f"The recipe {recipe.name!r} fits its layer anew, so it cannot start from a bundle."
        )
    if len(manifest.classes) < 2:
        raise TrainingRefused("The manifest has only one class; at least two are needed.")
    trained = {item.label for item in manifest.subset("train")}
    if missing := sorted(set(manifest.classes) - trained):
        raise TrainingRefused(f"The manifest has no training images of the class {missing[0]!r}.")


def initial_weights_file(recipe: Recipe, run: RunOptions) -> Path | None:
    """Returns the pretrained weights that a run starts from; None for a bundle or random weights."""
    if run.start is not None:
        return None
    return run.weights or (PRETRAINED / recipe.pretrained if recipe.pretrained else None)


def _calibration_images(items: Sequence[Item], first: int, start: Path | None) -> NDArray[np.int64]:
    """Returns the indices of the images that may calibrate the model.

    A model is overconfident on images that it was trained on, and on others of the same group. If training starts from
    a bundle, all groups that the bundle was trained on are therefore excluded.

    Args:
        items: All training and validation items.
        first: Index of the first item that may calibrate.
        start: Bundle that training starts from.

    Raises:
        TrainingRefused: Too few images are left.
    """
    indices: NDArray[np.int64] = np.arange(first, len(items))
    if start is None:
        return indices
    training_images = start / TRAINING_IMAGES
    if not training_images.exists():
        raise TrainingRefused(
            f"{start} does not list the images that it was trained on, so training cannot start from it."
        )
    seen = set(training_images.read_text(encoding="ascii").split())
    seen_groups = {item.group for item in items if item.sha256 in seen}
    unseen: NDArray[np.int64] = indices[
        np.array([item.group not in seen_groups for item in items[first:]], bool)
    ]
    if len(unseen) < min(MIN_CALIBRATION_IMAGES, len(indices)):
        raise TrainingRefused(
            f"The starting model was trained on the fractures of {len(indices) - len(unseen)} of the "
            f"{len(indices)} calibration images. Start from the pretrained network instead."
        )
    return unseen


def _copy_weights(model: keras.Model, classes: Sequence[str], bundle: Bundle) -> None:
    """Copies the weights of a bundle; the head keeps its initial weights for classes that the bundle lacks."""
    earlier = load_keras(bundle.file("model.keras"))
    if earlier.name != model.name:
        raise TrainingRefused(
            f"The architecture of {bundle.path} is {earlier.name}, but the recipe trains {model.name}."
        )
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


def _checkpoint_key(recipe: Recipe, manifest: Manifest, run: RunOptions) -> str:
    """Returns the name of the run's checkpoints, so that only a run with the same inputs resumes from them."""
    start = open_bundle(run.start).checksum if run.start else ""
    file = initial_weights_file(recipe, run)
    weights = hashlib.sha256(file.read_bytes()).hexdigest() if file else ""
    parts = [recipe.to_json(), manifest.checksum(), run.seed, start, weights]
    return "fit-" + hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
