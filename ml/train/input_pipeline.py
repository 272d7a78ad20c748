"""A manifest's images -> batches for training (tf.data). Decoded once into a file, varied from there.

The files hold fitted uint8 images, and what the trunk of a network makes of them; they are mapped,
not loaded, so memory stays bounded whatever the data set's size. What is drawn and how it is varied
depends on the seed and the epoch alone: a resumed run sees what an uninterrupted one would have seen.
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
from ml.events import Event, Remaining, Tell
from ml.networks.recipes import Recipe
from ml.serve.preprocessing import InputSpec, fit
from ml.train.augmentation import mix, vary

BATCH = 32
# Varied views are cut from larger images, so that those that zoom in stay sharp.
ENLARGED = 1.5


class TrainingRefused(ValueError):
    """Training cannot start or go on; str(error) is one sentence for the person."""


@dataclass(frozen=True, eq=False)
class Examples:
    """What a network learns from.

    inputs: (views, n, ...), either uint8 images as fitted, with one view, or a trunk's float16 output.
        View 0 shows the images as they are, view 1 of a trunk's output their mirror images.
    targets: float32 (n, classes), a probability for each class.
    groups: int64 (n,), a number for each group of images that share a source.
    """

    inputs: NDArray[Any]
    targets: NDArray[np.float32]
    groups: NDArray[np.int64]
    spec: InputSpec


def decode(
    manifest: Manifest, items: Sequence[Item], spec: InputSpec, work: Path, tell: Tell
) -> NDArray[np.uint8]:
    """Reads the items' images into a file under work, unless it is there already.

    Returns:
        The fitted images, mapped from the file: uint8 (n, size, size, 1 or 3).

    Raises:
        TrainingRefused: an image cannot be read, or is not the one that the manifest lists.
    """
    shape = (len(items), spec.size, spec.size, 1 if spec.channels == "grey" else 3)

    def fill(images: NDArray[np.uint8]) -> None:
        remaining = Remaining(len(items))
        for number, item in enumerate(items):
            images[number] = fit(_pixels(manifest, item), spec)
            _tell_now_and_then(tell, "decode", number + 1, len(items), remaining)

    name = _name("images", [spec.to_json(), [(item.path, item.sha256) for item in items]])
    return _cached(work / name, shape, np.uint8, fill)


def run_trunk(
    trunk: keras.Model,
    manifest: Manifest,
    items: Sequence[Item],
    recipe: Recipe,
    seed: int,
    work: Path,
    tell: Tell,
) -> NDArray[np.float16]:
    """Computes a trunk's output for each image, its mirror image and its varied views, into a file.

    Args:
        trunk: from float32 images (batch, size, size, 3).

    Returns:
        Mapped from the file: float16 (2 + views, n, ...).
    """
    plain = decode(manifest, items, recipe.input, work, tell)
    enlarged_spec = replace(recipe.input, size=round(recipe.input.size * ENLARGED))
    enlarged = decode(manifest, items, enlarged_spec, work, tell) if recipe.views else plain
    shape = (2 + recipe.views, len(items), *trunk.output.shape[1:])

    varied = _variation(recipe, enlarged.shape)

    def fill(outputs: NDArray[np.float16]) -> None:
        total = len(outputs) * len(items)
        remaining = Remaining(total)
        for view, output in enumerate(outputs):
            for first in range(0, len(items), BATCH):
                part = slice(first, first + BATCH)
                if view == 0:
                    batch = as_input(tf.constant(plain[part]), recipe.input)
                elif view == 1:
                    batch = as_input(tf.constant(plain[part, :, ::-1]), recipe.input)
                else:
                    batch = varied(enlarged[part], tf.constant([seed * 1000 + view, first], tf.int64))
                output[part] = trunk.predict_on_batch(batch)
                done = view * len(items) + min(first + BATCH, len(items))
                tell(Event("views", view + 1, len(outputs), done, total, {}, remaining.after(done)))

    weights = hashlib.sha256(b"".join(array.tobytes() for array in trunk.get_weights())).hexdigest()
    described = [
        recipe.input.to_json(),
        asdict(recipe.augmentation),
        recipe.views,
        seed,
        recipe.trunk,
        weights,
    ]
    name = _name("trunk", [described, [(item.path, item.sha256) for item in items]])
    return _cached(work / name, shape, np.float16, fill)


def training_batches(
    examples: Examples, indices: NDArray[np.int64], recipe: Recipe, seed: int, epoch: int
) -> tf.data.Dataset:
    """One epoch of training batches.

    Returns:
        Pairs of float32 inputs (batch, ...) and float32 targets (batch, classes).
    """
    random = np.random.default_rng([seed, epoch])
    order = _draw(indices, examples, recipe.balance, random)
    views = random.integers(0, len(examples.inputs), len(order))
    shares = random.beta(recipe.mixup, recipe.mixup, len(order)) if recipe.mixup else np.ones(len(order))
    # A last batch of one image would be its own batch norm statistics.
    starts = range(0, len(order) - 1 if len(order) > 1 else 1, recipe.batch_size)

    def load(number: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[np.float32], np.float32]:
        part = slice(starts[int(number)], starts[int(number)] + recipe.batch_size)
        share = max(shares[int(number)], 1 - shares[int(number)])
        return examples.inputs[views[part], order[part]], examples.targets[order[part]], np.float32(share)

    def prepare(number: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        kinds = (examples.inputs.dtype, tf.float32, tf.float32)
        inputs, targets, share = tf.numpy_function(load, [number], kinds, stateful=False)
        inputs.set_shape((None, *examples.inputs.shape[2:]))
        targets.set_shape((None, examples.targets.shape[1]))
        return mix(as_input(inputs, examples.spec), targets, share)

    # Nothing in prepare is Python that TensorFlow should translate; trying takes longer than an epoch
    # of a small network.
    prepare = tf.autograph.experimental.do_not_convert(prepare)
    return tf.data.Dataset.range(len(starts)).map(prepare, num_parallel_calls=2).prefetch(2)


def plain_batches(examples: Examples, indices: NDArray[np.int64], view: int = 0) -> tf.data.Dataset:
    """The images as they are served: batches of float32 inputs (batch, ...)."""

    def prepare(first: tf.Tensor) -> tf.Tensor:
        inputs = tf.numpy_function(
            lambda start: examples.inputs[view, indices[start : start + BATCH]],
            [first],
            examples.inputs.dtype,
            stateful=False,
        )
        inputs.set_shape((None, *examples.inputs.shape[2:]))
        return as_input(inputs, examples.spec)

    prepare = tf.autograph.experimental.do_not_convert(prepare)
    return tf.data.Dataset.range(0, len(indices), BATCH).map(prepare).prefetch(2)


def as_input(inputs: tf.Tensor, spec: InputSpec) -> tf.Tensor:
    """uint8 images to what ml.serve.preprocessing.scale makes of them, by the same operations; else float32."""
    values = tf.cast(inputs, tf.float32)
    if inputs.dtype != tf.uint8:
        return values
    values = values / 127.5 - 1.0 if spec.scale == "-1..1" else values / 255.0
    return tf.repeat(values, 3, axis=-1) if inputs.shape[-1] == 1 else values


def _variation(recipe: Recipe, shape: tuple[int, ...]) -> Any:
    @tf.function(
        input_signature=(tf.TensorSpec((None, *shape[1:]), tf.uint8), tf.TensorSpec((2,), tf.int64)),
        autograph=False,
    )  # type: ignore[untyped-decorator]
    def varied(images: tf.Tensor, rng_seed: tf.Tensor) -> tf.Tensor:
        return as_input(vary(images, recipe.augmentation, rng_seed, recipe.input.size), recipe.input)

    return varied


def _cached(
    path: Path, shape: tuple[int, ...], dtype: Any, fill: Callable[[NDArray[Any]], None]
) -> NDArray[Any]:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_suffix(".part")
        array = open_memmap(aside, "w+", dtype, shape)
        fill(array)
        array.flush()
        del array
        aside.rename(path)
    cached: NDArray[Any] = np.load(path, mmap_mode="r")
    return cached


def _name(kind: str, content: Any) -> str:
    return f"{kind}-{hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]}.npy"


def _tell_now_and_then(tell: Tell, phase: str, done: int, total: int, remaining: Remaining) -> None:
    if done % 50 == 0 or done == total:
        tell(Event(phase, 1, 1, done, total, {}, remaining.after(done)))


def _pixels(manifest: Manifest, item: Item) -> NDArray[np.uint8]:
    try:
        data = manifest.file(item).read_bytes()
    except OSError as error:
        raise TrainingRefused(f"{item.path} cannot be read: {error.strerror}.") from error
    if hashlib.sha256(data).hexdigest() != item.sha256:
        raise TrainingRefused(
            f"{item.path} is not the image that the manifest lists: audit the folder again."
        )
    try:
        return read_image(data).pixels
    except ImageRefused as error:
        raise TrainingRefused(f"{item.path}: {error}") from error


def _draw(
    indices: NDArray[np.int64], examples: Examples, balance: float, random: np.random.Generator
) -> NDArray[np.int64]:
    if not balance:
        return random.permutation(indices)
    labels, groups = examples.targets[indices].argmax(axis=1), examples.groups[indices]
    of_its_kind = np.bincount(labels)[labels] * np.bincount(groups)[groups]
    weights = of_its_kind.astype(np.float64) ** -balance
    return random.choice(indices, len(indices), p=weights / weights.sum())
