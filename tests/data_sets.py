"""Data sets of drawn X-rays as people send them: a zip with a folder for each class."""

import io
import zipfile
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.client import png
from tests.ml.drawings import BREAKS, draw_bone

KINDS = BREAKS[:3]


def draw_distinct(kind: str, seed: int, side: int = 112) -> NDArray[np.uint8]:
    """A drawn break behind clouds of its own, so that no audit takes two of them for copies of one picture."""
    bone = draw_bone(kind, seed, (side, side)).astype(np.float32)
    noise = np.random.default_rng([seed, len(kind)]).integers(0, 255, (7, 7)).astype(np.uint8)
    clouds = Image.fromarray(noise).resize((side, side), Image.Resampling.BICUBIC)
    mixed = 0.55 * bone + 0.45 * np.asarray(clouds, np.float32)
    return mixed.clip(0, 255).astype(np.uint8)


def draw_zip(
    each: int = 13, kinds: Sequence[str] = KINDS, names: Sequence[str] | None = None, first: int = 0
) -> bytes:
    """A zip in the published layout, CLASS/{Train,Test}/NN.png; one image in four is under Test."""
    files = {}
    for place, (kind, name) in enumerate(zip(kinds, names or kinds, strict=True)):
        for number in range(first, first + each):
            split = "Test" if number % 4 == 0 else "Train"
            files[f"{name}/{split}/{number:02}.png"] = png(draw_distinct(kind, 1000 * place + number))
    return zip_of(files)


def zip_of(files: dict[str, bytes]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return content.getvalue()
