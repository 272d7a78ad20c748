"""X-rays with boxes -> varied views, and what the frozen layers of the finding network make of them, in files."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from numpy.lib.format import open_memmap
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from ml.data.findings import Box, Xray
from ml.data.image_limits import ImageRefused
from ml.data.images import read_image
from ml.networks.finding import FROZEN, FindingRecipe
from ml.networks.recipes import Augmentation
from ml.progress import ProgressCallback, ProgressEvent, RemainingTime
from ml.serve.inference import num_threads
from ml.serve.preprocessing import InputSpec, find_placement, rescale, trim_and_resize
from ml.train.fitting import TrainingStopped
from ml.train.input_pipeline import TrainingRefused

EVENT_EVERY = 50


@dataclass(frozen=True, eq=False)
class Views:
    """What the finding network learns from. A row is a view: the picture as it is (0) or varied (1 and up).

    fine: float16 (rows, h / 8, w / 8, 48), coarse: float16 (rows, h / 16, w / 16, 88), the outputs of FROZEN.
    boxes: each row's boxes as (centre x, centre y, width, height), in pixels of the input.
    rows: each X-ray's rows, the plain view first.
    """

    fine: NDArray[np.float16]
    coarse: NDArray[np.float16]
    boxes: list[list[Box]]
    rows: list[list[int]]


def fitted(xray: Xray, spec: InputSpec) -> tuple[NDArray[np.uint8], list[Box]]:
    """Returns an X-ray as fitted, uint8 (size, size, 1), and its boxes there, by their centres.

    Raises:
        TrainingRefused: the file cannot be used.
    """
    try:
        pixels = read_image(xray.path).pixels
    except (ImageRefused, OSError) as error:
        raise TrainingRefused(f"{xray.path}: {error}") from error
    placement = find_placement(pixels, spec)
    left, top, right, bottom = placement.source
    to_left, to_top, to_right, to_bottom = placement.target
    across, down = (to_right - to_left) / (right - left), (to_bottom - to_top) / (bottom - top)
    boxes = [
        ((x + w / 2 - left) * across + to_left, (y + h / 2 - top) * down + to_top, w * across, h * down)
        for x, y, w, h in xray.boxes
    ]
    return trim_and_resize(pixels, spec, placement), boxes


def vary(
    image: NDArray[np.uint8], boxes: Sequence[Box], how: Augmentation, random: np.random.Generator
) -> tuple[NDArray[np.uint8], list[Box]]:
    """Returns a varied image, uint8 (size, size, 1), and the boxes moved with it.

    A box keeps its size when the image is turned: the box around a turned box would grow with each degree.
    """

    def draw(amount: float) -> float:
        return float(random.uniform(-amount, amount))

    angle, zoom, stretch = (
        math.radians(draw(how.rotate)),
        math.exp(draw(how.zoom)),
        math.exp(draw(how.stretch) / 2),
    )
    shear, mirror = draw(how.shear), -1.0 if how.flip and random.random() < 0.5 else 1.0
    side = image.shape[0]
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    forward = turn @ np.array([[1, shear], [0, 1]]) @ np.diag([zoom * stretch * mirror, zoom / stretch])
    middle, shift = np.full(2, side / 2), np.array([draw(how.shift), draw(how.shift)]) * side
    back = np.linalg.inv(forward)
    offset = middle - back @ (middle + shift)
    moved = Image.fromarray(image[..., 0]).transform(
        (side, side),
        Image.Transform.AFFINE,
        (*back[0], offset[0], *back[1], offset[1]),
        Image.Resampling.BICUBIC,
    )
    toned = _tone(np.asarray(moved), how, draw)
    values = toned + random.standard_normal(toned.shape, np.float32) * np.float32(
        random.uniform(0, how.noise)
    )
    result = Image.fromarray(np.rint(values.clip(0, 1) * 255).astype(np.uint8))
    if random.random() < how.blur:
        result = result.filter(ImageFilter.BoxBlur(1))
    centres = [forward @ (np.array([x, y]) - middle) + middle + shift for x, y, _, _ in boxes]
    sizes = [(w * zoom * stretch, h * zoom / stretch) for _, _, w, h in boxes]
    moved_boxes = [(float(c[0]), float(c[1]), w, h) for c, (w, h) in zip(centres, sizes, strict=True)]
    return np.asarray(result)[..., np.newaxis], moved_boxes


def _tone(
    pixels: NDArray[np.uint8], how: Augmentation, draw: Callable[[float], float]
) -> NDArray[np.float32]:
    levels = np.clip(np.arange(256) / 255, 1e-4, 1) ** math.exp(draw(how.gamma))
    mean = float(np.bincount(pixels.ravel(), minlength=256) @ levels / pixels.size)
    levels = (levels - mean) * (1 + draw(how.contrast)) + mean + draw(how.brightness)
    return np.asarray(levels.clip(0, 1), np.float32)[pixels]


def compute_views(
    frozen: keras.Model,
    xrays: Sequence[Xray],
    recipe: FindingRecipe,
    seed: int,
    work: Path,
    tell: ProgressCallback,
    should_stop: Callable[[], bool] = lambda: False,
) -> Views:
    """Computes the outputs of the frozen layers for all views, into files under work, unless they are there.

    A stopped call resumes where it stopped.

    Args:
        frozen: from ml.networks.finding.split, for inputs of the recipe's size.

    Raises:
        TrainingRefused: an image cannot be used.
        TrainingStopped: should_stop said so.
    """
    size = recipe.input.size
    planned = [(number, 0) for number in range(len(xrays))]
    for number, xray in enumerate(xrays):
        planned += [(number, 1 + view) for view in range(recipe.views[xray.fractured])]
    weights = hashlib.sha256(b"".join(array.tobytes() for array in frozen.get_weights())).hexdigest()
    described = [recipe.input.to_json(), list(recipe.views), recipe.to_json()["augmentation"], seed, weights]
    described.append([[xray.sha256, *xray.boxes] for xray in xrays])
    key = hashlib.sha256(json.dumps(described).encode()).hexdigest()[:16]
    work.mkdir(parents=True, exist_ok=True)
    outputs = [
        _open(work / f"views-{key}-{name}.npy", (len(planned), size // cell, size // cell, features))
        for name, cell, features in (("fine", 8, 48), ("coarse", 16, 88))
    ]
    done_file = work / f"views-{key}.json"
    boxes: list[list[Box]] = json.loads(done_file.read_bytes()) if done_file.exists() else []
    run = _litert(frozen, size) if len(boxes) < len(planned) else None
    remaining = RemainingTime(len(planned))
    while run and len(boxes) < len(planned):
        row = len(boxes)
        number, view = planned[row]
        image, found = fitted(xrays[number], recipe.input)
        if view:
            image, found = vary(
                image, found, recipe.augmentation, np.random.default_rng([seed, number, view])
            )
        for output, value in zip(outputs, run(rescale(image, recipe.input)), strict=True):
            output[row] = value
        boxes.append(found)
        stop = should_stop()
        if stop or len(boxes) % EVENT_EVERY == 0 or len(boxes) == len(planned):
            # A killed run resumes after the rows that this file counts.
            _write(done_file, json.dumps(boxes).encode())
            tell(ProgressEvent("views", 1, 1, len(boxes), len(planned), {}, remaining.estimate(len(boxes))))
        if stop:
            raise TrainingStopped
    rows: list[list[int]] = [[] for _ in xrays]
    for row, (number, _) in enumerate(planned):
        rows[number].append(row)
    return Views(outputs[0], outputs[1], [[(b[0], b[1], b[2], b[3]) for b in each] for each in boxes], rows)


def _litert(frozen: keras.Model, size: int) -> Callable[[NDArray[np.float32]], list[NDArray[np.float32]]]:
    """Returns the frozen layers as a LiteRT function of one image: it is several times faster than Keras."""
    image = keras.Input((size, size, 3), batch_size=1)
    named = keras.Model(image, dict(zip(FROZEN, frozen(image), strict=True)))
    content = tf.lite.TFLiteConverter.from_keras_model(named).convert()
    interpreter = Interpreter(model_content=content, num_threads=num_threads())
    runner = interpreter.get_signature_runner()
    name = next(iter(runner.get_input_details()))

    def run(value: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        found = runner(**{name: value[np.newaxis]})
        return [found[block][0] for block in FROZEN]

    return run


def _open(path: Path, shape: tuple[int, ...]) -> NDArray[np.float16]:
    if path.exists():
        return open_memmap(path, "r+")
    return open_memmap(path, "w+", np.float16, shape)


def _write(path: Path, content: bytes) -> None:
    aside = path.with_suffix(".part")
    aside.write_bytes(content)
    aside.replace(path)
