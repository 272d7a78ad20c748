"""Measures how well text is found that is drawn into X-rays: python -m benchmarks.burned_in_text FOLDER [--images N]

FOLDER has X-rays. The X-rays in which nothing is found are drawn upon: with names and numbers, and with the markers of
side and projection that are not text. JPEG compression follows, as in pictures that people send.
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from ml.data.burned_in_text import shows_text

FONTS = sorted(Path("/usr/share/fonts").rglob("*.ttf"))
TEXTS = (
    *("MEIER HANS", "Smith, John 1970", "MÜLLER^ANNA", "ID 4711-0815", "DOB 01.01.1970", "Garcia Lopez M."),
    *("WANG LI 34Y F", "HOSPITAL ST. ANNA", "Patient: 998877"),
)
MARKERS = ("L", "R", "AP", "LAT", "L LAT", "R PA")
# Height of the font by the longer side of the image: on a detector of 3,000 pixels 45 to 135 pixels.
SIZES = (0.015, 0.02, 0.03, 0.045)
STYLES = ("white", "grey", "black on white")


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=300)
    options = parser.parse_args()
    random = np.random.default_rng(2026)
    paths = sorted(path for path in options.folder.rglob("*") if path.suffix.lower() in (".jpg", ".png"))
    chosen = [paths[number] for number in random.permutation(len(paths))[: options.images]]
    found = [path for path in chosen if shows_text(pixels_of(Image.open(path)))]
    print(
        f"text found in {len(found)} of {len(chosen)} images as they are: {', '.join(p.name for p in found)}"
    )
    plain = [path for path in chosen if path not in found]
    drawn = list(with_texts(plain, random))
    for index, values in ((0, SIZES), (1, STYLES)):
        for value in values:
            hits = [hit for *labels, hit in drawn if labels[index] == value]
            print(f"{value}: text found in {sum(hits)} of {len(hits)}")
    hits = sum(hit for *_, hit in drawn)
    alarms = sum(shows_text(with_marker(path, random)) for path in plain)
    print(f"recall {hits / len(drawn):.3f} ({hits} of {len(drawn)})")
    print(f"markers taken for text: {alarms} of {len(plain)}; precision {hits / (hits + alarms):.3f}")
    print(f"{milliseconds(plain[:50]):.0f} ms of processor time an image of 640 pixels")


def with_texts(paths: list[Path], random: np.random.Generator) -> Iterator[tuple[float, str, bool]]:
    """Yields size, style and whether the text is found, for each image with a text."""
    for path in paths:
        size, style = random.choice(SIZES), str(random.choice(STYLES))
        image = Image.open(path).convert("L")
        text = str(random.choice(TEXTS))
        font = ImageFont.truetype(random.choice(FONTS), max(9, round(size * max(image.size))))
        draw = ImageDraw.Draw(image)
        left, top, right, bottom = draw.textbbox((0, 0), text, font)
        x = random.uniform(4, max(5, image.width - right - 4))
        y = random.choice(
            [random.uniform(4, image.height / 8), image.height - bottom - random.uniform(4, image.height / 8)]
        )
        if style == "black on white":
            draw.rectangle((x + left - 4, y + top - 4, x + right + 4, y + bottom + 4), fill=255)
        fill = {"white": 255, "grey": int(random.uniform(170, 230)), "black on white": 0}[style]
        draw.text((x, y), text, fill, font)
        yield size, style, shows_text(pixels_of(image, quality=int(random.choice([75, 90]))))


def with_marker(path: Path, random: np.random.Generator) -> NDArray[np.uint8]:
    """Returns the image with a marker of side or projection."""
    image = Image.open(path).convert("L")
    font = ImageFont.truetype(
        random.choice(FONTS), round(random.choice([0.03, 0.05, 0.08]) * max(image.size))
    )
    ImageDraw.Draw(image).text((10, 10), str(random.choice(MARKERS)), 255, font)
    return pixels_of(image, quality=90)


def pixels_of(image: Image.Image, quality: int = 0) -> NDArray[np.uint8]:
    """Returns the grey levels, after JPEG compression if a quality is given."""
    if quality:
        content = io.BytesIO()
        image.save(content, "JPEG", quality=quality)
        image = Image.open(content)
    return np.asarray(image.convert("L"))


def milliseconds(paths: list[Path]) -> float:
    """Returns the processor time for one image with a longer side of 640 pixels."""
    images = []
    for path in paths:
        image = Image.open(path).convert("L")
        scale = 640 / max(image.size)
        images.append(np.asarray(image.resize((round(image.width * scale), round(image.height * scale)))))
    started = time.process_time()
    for image in images:
        shows_text(image)
    return (time.process_time() - started) / len(images) * 1000


if __name__ == "__main__":
    main()
