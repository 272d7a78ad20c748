"""Augments X-rays with their boxes, and caches the outputs of the frozen backbone for each copy in files."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.lib.format import open_memmap
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from ml.data.findings import Box, Xray
from ml.data.image_limits import ImageRefused
from ml.data.images import read_image
from ml.networks.finding import FROZEN
from ml.networks.finding_recipes import FindingRecipe
from ml.networks.recipes import Augmentation
from ml.progress import ProgressCallback, ProgressEvent, RemainingTime
from ml.serve.export import convert_to_litert
from ml.serve.inference import num_threads
from ml.serve.preprocessing import InputSpec, find_placement, rescale, trim_and_resize
from ml.train.fitting import TrainingStopped
from ml.train.input_pipeline import TrainingRefused

EVENT_EVERY = 50


@dataclass(frozen=True, eq=False)
class CachedFeatures:
    """Cached backbone features. Each row is one copy of an X-ray: unaugmented (0) or augmented (1 and up).

    Attributes:
        fine: float16 (rows, h / 8, w / 8, features), output of the first block of FROZEN.
        coarse: float16 (rows, h / 16, w / 16, features), output of the second block of FROZEN.
        boxes: (centre x, centre y, width, height) of the boxes of each row, in pixels of the input.
        rows: Rows of each X-ray. The first one is the unaugmented copy.
    """

    fine: NDArray[np.float16]
    coarse: NDArray[np.float16]
    boxes: list[list[Box]]
    rows: list[list[int]]


def read_input(xray: Xray, spec: InputSpec) -> tuple[NDArray[np.uint8], list[Box]]:
    """Reads an X-ray and fits it into the network's input.

    Returns:
        The image, uint8 (size, size, 1), and its boxes as (centre x, centre y, width, height), in pixels of the input.

    Raises:
        TrainingRefused: The file cannot be used.
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


def augment(
    image: NDArray[np.uint8], boxes: Sequence[Box], augmentation: Augmentation, random: np.random.Generator
) -> tuple[NDArray[np.uint8], list[Box]]:
    """Returns a randomly augmented image, uint8 (size, size, 1), and its transformed boxes.

    Rotation moves a box but does not resize it; enclosing the rotated box would enlarge it.
    """

    def draw(limit: float) -> float:
        return float(random.uniform(-limit, limit))

    angle, zoom, stretch = (
        math.radians(draw(augmentation.rotate)),
        math.exp(draw(augmentation.zoom)),
        math.exp(draw(augmentation.stretch) / 2),
    )
    shear, flip = draw(augmentation.shear), -1.0 if augmentation.flip and random.random() < 0.5 else 1.0
    side = image.shape[0]
    rotation = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    forward = rotation @ np.array([[1, shear], [0, 1]]) @ np.diag([zoom * stretch * flip, zoom / stretch])
    centre, shift = (
        np.full(2, side / 2),
        np.array([draw(augmentation.shift), draw(augmentation.shift)]) * side,
    )
    inverse = np.linalg.inv(forward)
    offset = centre - inverse @ (centre + shift)
    warped = Image.fromarray(image[..., 0]).transform(
        (side, side),
        Image.Transform.AFFINE,
        (*inverse[0], offset[0], *inverse[1], offset[1]),
        Image.Resampling.BICUBIC,
    )
    adjusted = _adjust_intensity(np.asarray(warped), augmentation, draw)
    values = adjusted + random.standard_normal(adjusted.shape, np.float32) * np.float32(
        random.uniform(0, augmentation.noise)
    )
    result = Image.fromarray(np.rint(values.clip(0, 1) * 255).astype(np.uint8))
    if random.random() < augmentation.blur:
        result = result.filter(ImageFilter.BoxBlur(1))
    centres = [forward @ (np.array([x, y]) - centre) + centre + shift for x, y, _, _ in boxes]
    sizes = [(w * zoom * stretch, h * zoom / stretch) for _, _, w, h in boxes]
    warped_boxes = [(float(c[0]), float(c[1]), w, h) for c, (w, h) in zip(centres, sizes, strict=True)]
    return np.asarray(result)[..., np.newaxis], warped_boxes


def _adjust_intensity(
    pixels: NDArray[np.uint8], augmentation: Augmentation, draw: Callable[[float], float]
) -> NDArray[np.float32]:
    """Returns an image with random gamma, contrast and brightness, with values in [0, 1]."""
    levels = np.clip(np.arange(256) / 255, 1e-4, 1) ** math.exp(draw(augmentation.gamma))
    mean = float(np.bincount(pixels.ravel(), minlength=256) @ levels / pixels.size)
    levels = (levels - mean) * (1 + draw(augmentation.contrast)) + mean + draw(augmentation.brightness)
    return np.asarray(levels.clip(0, 1), np.float32)[pixels]


def compute_features(
    frozen: keras.Model,
    xrays: Sequence[Xray],
    recipe: FindingRecipe,
    seed: int,
    work: Path,
    on_progress: ProgressCallback,
    should_stop: Callable[[], bool] = lambda: False,
) -> CachedFeatures:
    """Computes the outputs of the frozen backbone for all copies of the X-rays and caches them in files.

    A call that was stopped or killed resumes from its files.

    Args:
        frozen: Backbone from ml.networks.finding.split, for inputs of the recipe's size.
        xrays: The X-rays.
        recipe: Recipe with the input, the number of copies and their augmentation.
        seed: Seed of the augmentation.
        work: Folder of the cache files.
        on_progress: Called with the progress.
        should_stop: Called after each image; stops the computation when it returns True.

    Raises:
        TrainingRefused: An image cannot be used.
        TrainingStopped: should_stop returned True.
    """
    size = recipe.input.size
    planned = [(number, 0) for number in range(len(xrays))]
    for number, xray in enumerate(xrays):
        planned += [(number, 1 + copy) for copy in range(recipe.views[xray.fractured])]
    weights = hashlib.sha256(b"".join(array.tobytes() for array in frozen.get_weights())).hexdigest()
    key_parts = [recipe.input.to_json(), list(recipe.views), recipe.to_json()["augmentation"], seed, weights]
    key_parts.append([[xray.sha256, *xray.boxes] for xray in xrays])
    key = hashlib.sha256(json.dumps(key_parts).encode()).hexdigest()[:16]
    work.mkdir(parents=True, exist_ok=True)
    # The names of the files stay the same, so that earlier caches can be used.
    outputs = [
        _open(work / f"views-{key}-{name}.npy", (len(planned), size // cell, size // cell, output.shape[-1]))
        for name, cell, output in zip(("fine", "coarse"), (8, 16), frozen.outputs, strict=True)
    ]
    done_file = work / f"views-{key}.json"
    boxes: list[list[Box]] = json.loads(done_file.read_bytes()) if done_file.exists() else []
    run = _litert(frozen, size) if len(boxes) < len(planned) else None
    remaining = RemainingTime(len(planned))
    while run and len(boxes) < len(planned):
        row = len(boxes)
        number, copy = planned[row]
        image, found = read_input(xrays[number], recipe.input)
        if copy:
            image, found = augment(
                image, found, recipe.augmentation, np.random.default_rng([seed, number, copy])
            )
        for output, value in zip(outputs, run(rescale(image, recipe.input)), strict=True):
            output[row] = value
        boxes.append(found)
        stop = should_stop()
        if stop or len(boxes) % EVENT_EVERY == 0 or len(boxes) == len(planned):
            # A run that was killed resumes after the rows in this file.
            _write(done_file, json.dumps(boxes).encode())
            left = remaining.estimate(len(boxes))
            on_progress(ProgressEvent("views", 1, 1, len(boxes), len(planned), {}, left))
        if stop:
            raise TrainingStopped
    rows: list[list[int]] = [[] for _ in xrays]
    for row, (number, _) in enumerate(planned):
        rows[number].append(row)
    return CachedFeatures(
        outputs[0], outputs[1], [[(b[0], b[1], b[2], b[3]) for b in each] for each in boxes], rows
    )


def _litert(frozen: keras.Model, size: int) -> Callable[[NDArray[np.float32]], list[NDArray[np.float32]]]:
    """Returns a LiteRT function of the frozen backbone for one image, which is several times faster than Keras."""
    image = keras.Input((size, size, 3), batch_size=1)
    named = keras.Model(image, dict(zip(FROZEN, frozen(image), strict=True)))
    content = convert_to_litert(named, (size, size, 3), float16=False)
    interpreter = Interpreter(model_content=content, num_threads=num_threads())
    runner = interpreter.get_signature_runner()

    def run(value: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        found = runner(image=value[np.newaxis])
        return [found[block][0] for block in FROZEN]

    return run


def _open(path: Path, shape: tuple[int, ...]) -> NDArray[np.float16]:
    if path.exists():
        return open_memmap(path, "r+")
    return open_memmap(path, "w+", np.float16, shape)


def _write(path: Path, content: bytes) -> None:
    temporary = path.with_suffix(".part")
    temporary.write_bytes(content)
    temporary.replace(path)
