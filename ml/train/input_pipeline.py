"""Builds batches from the images of a manifest with tf.data.

Preprocessed images and the outputs of a frozen backbone are cached in memory-mapped files, so memory use does not
depend on the size of the data set. Sampling and augmentation depend only on the seed and the epoch, so a resumed run
gets the same batches as an uninterrupted one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from ml.data.image_limits import ImageRefused
from ml.data.images import read_image
from ml.data.manifests import Item, Manifest
from ml.networks.recipes import Recipe
from ml.progress import ProgressCallback, ProgressEvent, RemainingTime
from ml.serve.preprocessing import InputSpec, trim_and_resize
from ml.train.augmentation import augment, mixup

# Images per batch for inference.
BATCH_SIZE = 32
# Augmented copies are computed from images larger by this factor, so that zoomed copies stay sharp.
AUGMENTATION_SCALE = 1.5


class TrainingRefused(ValueError):
    """Training cannot start or continue; str(error) is one sentence for the user."""


@dataclass(frozen=True, eq=False)
class Examples:
    """The inputs and targets of a network.

    Attributes:
        inputs: (copies, n, ...): uint8 resized images, of which there is one copy, or float16 outputs of a backbone.
            Copy 0 is the original image; copy 1 of a backbone's outputs is its left-right flip, the others are
            augmented.
        targets: float32 (n, classes), the probability of each class.
        groups: int64 (n,), the number of each image's group.
        spec: Preprocessing of the images.
    """

    inputs: NDArray[Any]
    targets: NDArray[np.float32]
    groups: NDArray[np.int64]
    spec: InputSpec


def decode_images(
    manifest: Manifest, items: Sequence[Item], spec: InputSpec, work: Path, on_progress: ProgressCallback
) -> NDArray[np.uint8]:
    """Reads and resizes images into a cache file, unless it exists.

    Args:
        manifest: The manifest.
        items: Items of the manifest to read.
        spec: Preprocessing of the images.
        work: Folder of the cache.
        on_progress: Called with the progress.

    Returns:
        The memory-mapped images, uint8 (n, size, size, 1 or 3).

    Raises:
        TrainingRefused: An image cannot be read, or has changed since the audit.
    """
    shape = (len(items), spec.size, spec.size, 1 if spec.channels == "grey" else 3)

    def fill(images: NDArray[np.uint8]) -> None:
        remaining = RemainingTime(len(items))
        for number, item in enumerate(items):
            images[number] = trim_and_resize(_read_pixels(manifest, item), spec)
            done = number + 1
            if done % 50 == 0 or done == len(items):
                left = remaining.estimate(done)
                on_progress(ProgressEvent("decode", 1, 1, done, len(items), {}, left))

    name = _cache_name("images", [spec.to_json(), [(item.path, item.sha256) for item in items]])
    return _cached(work / name, shape, np.uint8, fill)


def compute_backbone_outputs(
    backbone: keras.Model,
    manifest: Manifest,
    items: Sequence[Item],
    recipe: Recipe,
    seed: int,
    work: Path,
    on_progress: ProgressCallback,
) -> NDArray[np.float16]:
    """Computes the outputs of a frozen backbone for all copies of images into a cache file, unless it exists.

    Args:
        backbone: Model from float32 images (batch, size, size, 3).
        manifest: The manifest.
        items: Items of the manifest to use.
        recipe: Preprocessing, augmentation and number of augmented copies.
        seed: Seed of the augmentation.
        work: Folder of the cache.
        on_progress: Called with the progress.

    Returns:
        The memory-mapped outputs, float16 (2 + recipe.views, n, ...): the image, its left-right flip, and
        augmented copies.

    Raises:
        TrainingRefused: An image cannot be read, or has changed since the audit.
    """
    images = decode_images(manifest, items, recipe.input, work, on_progress)
    enlarged_spec = replace(recipe.input, size=round(recipe.input.size * AUGMENTATION_SCALE))
    enlarged = decode_images(manifest, items, enlarged_spec, work, on_progress) if recipe.views else images
    shape = (2 + recipe.views, len(items), *backbone.output.shape[1:])

    augmented_input = _augmented_input(recipe, enlarged.shape)

    def fill(outputs: NDArray[np.float16]) -> None:
        total = len(outputs) * len(items)
        remaining = RemainingTime(total)
        for copy, output in enumerate(outputs):
            for first in range(0, len(items), BATCH_SIZE):
                rows = slice(first, first + BATCH_SIZE)
                if copy == 0:
                    batch = to_network_input(tf.constant(images[rows]), recipe.input)
                elif copy == 1:
                    batch = to_network_input(tf.constant(images[rows, :, ::-1]), recipe.input)
                else:
                    copy_seed = tf.constant([seed * 1000 + copy, first], tf.int64)
                    batch = augmented_input(enlarged[rows], copy_seed)
                output[rows] = backbone.predict_on_batch(batch)
                done = copy * len(items) + min(first + BATCH_SIZE, len(items))
                on_progress(
                    ProgressEvent("views", copy + 1, len(outputs), done, total, {}, remaining.estimate(done))
                )

    weights = hashlib.sha256(b"".join(array.tobytes() for array in backbone.get_weights())).hexdigest()
    parameters = [
        recipe.input.to_json(),
        asdict(recipe.augmentation),
        recipe.views,
        seed,
        recipe.backbone_output,
        weights,
    ]
    name = _cache_name("backbone", [parameters, [(item.path, item.sha256) for item in items]])
    return _cached(work / name, shape, np.float16, fill)


def training_batches(
    examples: Examples, indices: NDArray[np.int64], recipe: Recipe, seed: int, epoch: int
) -> tf.data.Dataset:
    """Returns the batches of one training epoch, with balanced sampling and mixup.

    Args:
        examples: All examples.
        indices: Indices of the training examples, int64 (n,).
        recipe: Batch size, sampling and mixup.
        seed: Seed of the sampling.
        epoch: Number of the epoch, counted from 0.

    Returns:
        Pairs of float32 inputs (batch, ...) and float32 targets (batch, classes).
    """
    random = np.random.default_rng([seed, epoch])
    order = _sample(indices, examples, recipe.balance, random)
    copies = random.integers(0, len(examples.inputs), len(order))
    shares = random.beta(recipe.mixup, recipe.mixup, len(order)) if recipe.mixup else np.ones(len(order))
    # Drops a last batch of one image, over which batch normalization has no variance.
    starts = range(0, len(order) - 1 if len(order) > 1 else 1, recipe.batch_size)

    def load(number: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[np.float32], np.float32]:
        batch = slice(starts[int(number)], starts[int(number)] + recipe.batch_size)
        share = max(shares[int(number)], 1 - shares[int(number)])
        return examples.inputs[copies[batch], order[batch]], examples.targets[order[batch]], np.float32(share)

    def make_batch(number: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        dtypes = (examples.inputs.dtype, tf.float32, tf.float32)
        inputs, targets, share = tf.numpy_function(load, [number], dtypes, stateful=False)
        inputs.set_shape((None, *examples.inputs.shape[2:]))
        targets.set_shape((None, examples.targets.shape[1]))
        return mixup(to_network_input(inputs, examples.spec), targets, share)

    # AutoGraph has nothing to convert here, and trying takes longer than an epoch of a small network.
    make_batch = tf.autograph.experimental.do_not_convert(make_batch)
    return tf.data.Dataset.range(len(starts)).map(make_batch, num_parallel_calls=2).prefetch(2)


def inference_batches(examples: Examples, indices: NDArray[np.int64], copy: int = 0) -> tf.data.Dataset:
    """Returns batches of examples in the given order, without augmentation.

    Args:
        examples: All examples.
        indices: Indices of the examples, int64 (n,).
        copy: Copy of the examples to use.

    Returns:
        float32 inputs (batch, ...).
    """

    def make_batch(first: tf.Tensor) -> tf.Tensor:
        inputs = tf.numpy_function(
            lambda start: examples.inputs[copy, indices[start : start + BATCH_SIZE]],
            [first],
            examples.inputs.dtype,
            stateful=False,
        )
        inputs.set_shape((None, *examples.inputs.shape[2:]))
        return to_network_input(inputs, examples.spec)

    make_batch = tf.autograph.experimental.do_not_convert(make_batch)
    return tf.data.Dataset.range(0, len(indices), BATCH_SIZE).map(make_batch).prefetch(2)


def to_network_input(inputs: tf.Tensor, spec: InputSpec) -> tf.Tensor:
    """Converts inputs to float32; rescales images as ml.serve.preprocessing.rescale does, by the same operations.

    Args:
        inputs: uint8 resized images (batch, size, size, 1 or 3), or outputs of a backbone.
        spec: Preprocessing of the images.
    """
    values = tf.cast(inputs, tf.float32)
    if inputs.dtype != tf.uint8:
        return values
    values = values / 127.5 - 1.0 if spec.scale == "-1..1" else values / 255.0
    return tf.repeat(values, 3, axis=-1) if inputs.shape[-1] == 1 else values


def _augmented_input(recipe: Recipe, shape: tuple[int, ...]) -> Any:
    @tf.function(
        input_signature=(tf.TensorSpec((None, *shape[1:]), tf.uint8), tf.TensorSpec((2,), tf.int64)),
        autograph=False,
    )  # type: ignore[untyped-decorator]
    def augmented_input(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        return to_network_input(augment(images, recipe.augmentation, seed, recipe.input.size), recipe.input)

    return augmented_input


def _cached(
    path: Path, shape: tuple[int, ...], dtype: Any, fill: Callable[[NDArray[Any]], None]
) -> NDArray[Any]:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".part")
        array = open_memmap(temporary, "w+", dtype, shape)
        fill(array)
        array.flush()
        del array
        temporary.rename(path)
    cached: NDArray[Any] = np.load(path, mmap_mode="r")
    return cached


def _cache_name(kind: str, parameters: Any) -> str:
    return f"{kind}-{hashlib.sha256(json.dumps(parameters).encode()).hexdigest()[:16]}.npy"


def _read_pixels(manifest: Manifest, item: Item) -> NDArray[np.uint8]:
    try:
        data = manifest.file(item).read_bytes()
    except OSError as error:
        raise TrainingRefused(f"{item.path} cannot be read: {error.strerror}.") from error
    if hashlib.sha256(data).hexdigest() != item.sha256:
        raise TrainingRefused(
            f"{item.path} is not the image that the manifest lists. Audit the data set again."
        )
    try:
        return read_image(data).pixels
    except ImageRefused as error:
        raise TrainingRefused(f"{item.path}: {error}") from error


def _sample(
    indices: NDArray[np.int64], examples: Examples, balance: float, random: np.random.Generator
) -> NDArray[np.int64]:
    if not balance:
        return random.permutation(indices)
    labels, groups = examples.targets[indices].argmax(axis=1), examples.groups[indices]
    frequencies = np.bincount(labels)[labels] * np.bincount(groups)[groups]
    weights = frequencies.astype(np.float64) ** -balance
    return random.choice(indices, len(indices), p=weights / weights.sum())
