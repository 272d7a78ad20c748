"""Measures how many changed copies of real X-rays the audit finds.

    python -m benchmarks.duplicates DATA

Of 200 random images, 60 get a copy with one change. The share of copies found is given with its 95% interval. Takes a
few minutes on two idle cores.
"""

import argparse
import io
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from ml.data.duplicates import find_duplicates
from ml.data.images import read_image
from ml.data.manifests import read_class_folder
from ml.data.signatures import make_signature
from ml.evaluate.metrics import wilson_interval

NUM_IMAGES, NUM_COPIES = 200, 60


def reencoded(image: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    image.resize((max(1, image.width // 2), max(1, image.height // 2))).save(buffer, "JPEG", quality=40)
    return Image.open(buffer)


def cropped(image: Image.Image, share: float) -> Image.Image:
    left, top = image.width * (1 - share) / 2, image.height * (1 - share) / 2
    return image.crop((int(left), int(top), int(image.width - left), int(image.height - top)))


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "half the size, JPEG quality 40": reencoded,
    "mirrored": lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "turned by 90 degrees": lambda image: image.transpose(Image.Transpose.ROTATE_90),
    "turned by 10 degrees": lambda image: image.rotate(10, Image.Resampling.BICUBIC),
    "stretched to a square": lambda image: image.resize((640, 640), Image.Resampling.BICUBIC),
    "cropped to the middle 80 % of each side": lambda image: cropped(image, 0.8),
    "cropped to the middle 60 % of each side": lambda image: cropped(image, 0.6),
    "cropped to the middle 40 % of each side": lambda image: cropped(image, 0.4),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", type=Path)
    options = parser.parse_args()
    files = random.Random(0).sample(read_class_folder(options.data).files, NUM_IMAGES)
    pictures = [Image.fromarray(read_image(options.data / file.path).pixels).convert("RGB") for file in files]
    signatures = [make_signature(np.asarray(picture)) for picture in pictures]
    print("| change | copies found |\n|---|---|")
    for name, change in CHANGES.items():
        copies = [make_signature(np.asarray(change(picture))) for picture in pictures[:NUM_COPIES]]
        pairs = {(pair.first, pair.second) for pair in find_duplicates([*signatures, *copies])}
        found = sum((number, NUM_IMAGES + number) in pairs for number in range(NUM_COPIES))
        low, high = wilson_interval(found, NUM_COPIES)
        print(f"| {name} | {found} of {NUM_COPIES} ({100 * low:.0f} to {100 * high:.0f} %) |", flush=True)


if __name__ == "__main__":
    main()
