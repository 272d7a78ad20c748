"""Drawn X-rays of bones with several kinds of fracture, so that tests need no real data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw, ImageFilter

BREAKS = ("Transverse", "Oblique", "Comminuted", "Whole")


def draw_bone(
    kind: str = "Transverse", seed: int = 0, size: tuple[int, int] = (160, 224)
) -> NDArray[np.uint8]:
    """Draws an X-ray.

    Args:
        kind: One of BREAKS.
        seed: Seed of the random generator.
        size: Width and height in pixels.

    Returns:
        uint8 (height, width).
    """
    random = np.random.default_rng([seed, BREAKS.index(kind)])
    width, height = size
    flesh = Image.new("L", size, int(random.integers(8, 20)))
    bone = Image.new("L", size, 0)
    middle, half = width * random.uniform(0.42, 0.58), width * random.uniform(0.1, 0.14)
    ImageDraw.Draw(flesh).rectangle((middle - 3 * half, 0, middle + 3 * half, height), fill=70)
    draw = ImageDraw.Draw(bone)
    draw.rectangle((middle - half, height * 0.06, middle + half, height * 0.94), fill=150)
    draw.rectangle((middle - half / 2, height * 0.1, middle + half / 2, height * 0.9), fill=95)
    for end in (0.08, 0.92):
        draw.ellipse(
            (middle - 2 * half, height * (end - 0.07), middle + 2 * half, height * (end + 0.07)), fill=165
        )
    _break(draw, kind, random, middle, height * random.uniform(0.4, 0.6), half)
    picture = ImageChops.add(
        flesh.filter(ImageFilter.GaussianBlur(6)), bone.filter(ImageFilter.GaussianBlur(1))
    )
    picture = picture.rotate(random.uniform(-12, 12), Image.Resampling.BICUBIC)
    noisy = np.asarray(picture, np.float32) + random.normal(0, 4, (height, width))
    return noisy.clip(0, 255).astype(np.uint8)


def write_data_set(
    root: Path, kinds: Sequence[str] = BREAKS[:3], each: int = 12, size: tuple[int, int] = (160, 224)
) -> list[Path]:
    """Writes KIND/NN.png below root, and returns the paths."""
    paths = []
    for kind in kinds:
        (root / kind).mkdir(parents=True, exist_ok=True)
        for number in range(each):
            path = root / kind / f"{number:02}.png"
            Image.fromarray(draw_bone(kind, number, size)).save(path)
            paths.append(path)
    return paths


def _break(
    draw: ImageDraw.ImageDraw, kind: str, random: np.random.Generator, x: float, y: float, half: float
) -> None:
    reach, gap = half * 1.3, max(2, int(half / 3))
    if kind == "Transverse":
        draw.line((x - reach, y, x + reach, y + random.uniform(-3, 3)), fill=20, width=gap)
    elif kind == "Oblique":
        rise = reach * random.uniform(1.6, 2.2) * random.choice((-1, 1))
        draw.line((x - reach, y - rise, x + reach, y + rise), fill=20, width=gap)
    elif kind == "Comminuted":
        for _ in range(7):
            x0, x1 = x + random.uniform(-reach, reach, 2)
            y0, y1 = y + random.uniform(-3 * half, 3 * half, 2)
            draw.line((x0, y0, x1, y1), fill=20, width=gap)
