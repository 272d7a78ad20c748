"""Images that are not X-rays, to measure the out-of-distribution score; models are never trained on them."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, UnidentifiedImageError

Pixels = NDArray[np.uint8]

# Words for rendered documents.
TEXT = """the patient was seen on monday and the report says that no change is needed until further
notice invoice total account date reference page section amount due contract signed between both sides"""

# Packages that contain sample photographs, and the folders inside them.
SAMPLE_FOLDERS = (
    ("matplotlib", "mpl-data/sample_data"),
    ("skimage", "data"),
    ("sklearn", "datasets/images"),
)


def render_images(per_kind: int = 20, seed: int = 0) -> dict[str, list[Pixels]]:
    """Renders documents, screenshots, drawings, noise, charts and blank images.

    Args:
        per_kind: Number of images of each kind.
        seed: Seed of the random generator.

    Returns:
        Images by kind, each uint8 (H, W) or (H, W, 3).
    """
    makers: dict[str, Callable[[np.random.Generator], Pixels]] = {
        "document": _document,
        "screen": _screen,
        "drawing": _drawing,
        "noise": _noise,
        "clouds": _clouds,
        "chart": _chart,
    }
    images = {
        kind: [make(np.random.default_rng([seed, number, index])) for number in range(per_kind)]
        for index, (kind, make) in enumerate(makers.items())
    }
    images["blank"] = [np.full((300, 240), grey, np.uint8) for grey in np.linspace(0, 255, per_kind)]
    return images


def load_photographs(folder: Path | None = None) -> list[Pixels]:
    """Loads each photograph in colour and in greyscale.

    Args:
        folder: Folder with JPEG and PNG files; by default the samples of installed packages (SAMPLE_FOLDERS).

    Returns:
        Images, each uint8 (H, W) or (H, W, 3).
    """
    folders = [folder] if folder else _sample_folders()
    photographs = []
    for path in sorted(path for parent in folders for path in parent.iterdir()):
        if path.suffix.lower() in (".jpg", ".jpeg", ".png"):
            try:
                with Image.open(path) as image:
                    photographs += [np.asarray(image.convert("RGB")), np.asarray(image.convert("L"))]
            except UnidentifiedImageError:
                continue
    return photographs


def _sample_folders() -> list[Path]:
    specs = ((importlib.util.find_spec(package), inside) for package, inside in SAMPLE_FOLDERS)
    folders = (Path(spec.origin).parent / inside for spec, inside in specs if spec and spec.origin)
    return [folder for folder in folders if folder.is_dir()]


def _words(random: np.random.Generator, low: int = 3, high: int = 9) -> str:
    return " ".join(random.choice(TEXT.split(), random.integers(low, high)))


def _colour(random: np.random.Generator) -> tuple[int, ...]:
    return tuple(int(value) for value in random.integers(0, 256, 3))


def _document(random: np.random.Generator) -> Pixels:
    paper, ink = (20, 230) if random.random() < 0.25 else (250, 20)
    image = Image.new("L", (600, 800), paper)
    draw, y = ImageDraw.Draw(image), 30
    while y < 760:
        size = int(random.integers(12, 28))
        draw.text((30, y), _words(random), fill=ink, font=ImageFont.load_default(size))
        y += size + int(random.integers(6, 24))
    return np.asarray(image)


def _screen(random: np.random.Generator) -> Pixels:
    image = Image.new("RGB", (800, 500), _colour(random))
    draw = ImageDraw.Draw(image)
    for _ in range(random.integers(5, 20)):
        x, y, width, height = (
            int(random.integers(*span)) for span in ((0, 700), (0, 420), (30, 400), (15, 200))
        )
        draw.rectangle((x, y, x + width, y + height), fill=_colour(random), outline=(0, 0, 0))
        draw.text((x + 4, y + 2), _words(random), fill=_colour(random), font=ImageFont.load_default(14))
    return np.asarray(image)


def _drawing(random: np.random.Generator) -> Pixels:
    paper = 255 if random.random() < 0.5 else 0
    image = Image.new("RGB", (400, 400), (paper,) * 3)
    draw = ImageDraw.Draw(image)
    for _ in range(random.integers(3, 25)):
        x, y = (sorted(int(value) for value in random.integers(0, 400, 2)) for _ in range(2))
        colour = _colour(random) if random.random() < 0.6 else (255 - paper,) * 3
        shape = random.integers(4)
        if shape == 0:
            draw.line((x[0], y[0], x[1], y[1]), fill=colour, width=int(random.integers(1, 8)))
        elif shape == 1:
            draw.ellipse((x[0], y[0], x[1], y[1]), outline=colour, width=3)
        elif shape == 2:
            draw.rectangle((x[0], y[0], x[1], y[1]), outline=colour, width=3)
        else:
            draw.ellipse((x[0], y[0], x[1], y[1]), fill=colour)
    return np.asarray(image)


def _noise(random: np.random.Generator) -> Pixels:
    shape = (300, 300) if random.random() < 0.5 else (300, 300, 3)
    return random.integers(0, 256, shape, dtype=np.uint8)


def _clouds(random: np.random.Generator) -> Pixels:
    coarse = random.integers(0, 256, (int(random.integers(4, 64)),) * 2, dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((300, 300), Image.Resampling.BICUBIC))


def _chart(random: np.random.Generator) -> Pixels:
    image = Image.new("RGB", (480, 360), (255, 255, 255))
    draw = ImageDraw.Draw(image)
    draw.line((50, 20, 50, 320, 460, 320), fill=(0, 0, 0), width=2)
    for _ in range(random.integers(1, 4)):
        heights = 170 + random.normal(size=40).cumsum() * 18
        points = [(50 + 10 * step, float(height)) for step, height in enumerate(heights)]
        draw.line(points, fill=_colour(random), width=2)
    for step in range(5):
        draw.text((15, 310 - 65 * step), str(step * 25), fill=(0, 0, 0))
    draw.text((150, 335), _words(random), fill=(0, 0, 0), font=ImageFont.load_default(14))
    return np.asarray(image)
