"""Compares the first published network on a split by image and on a split by group.

    python -m benchmarks.original DATA MANIFEST --out DIR

With a random split by image, the model is trained on copies and other views of test images, so its accuracy is
overestimated; with a split by group, as in MANIFEST, it is not. Both runs use the recipe seed_cnn. Takes about ten
minutes on two idle cores.
"""

import argparse
import hashlib
import json
import random
import subprocess
import sys
from pathlib import Path

from ml.data.image_limits import ImageRefused
from ml.data.images import read_image
from ml.data.manifests import Item, Manifest, read_class_folder
from ml.data.splits import TEST_SHARE, VALIDATION_SHARE


def split_by_image(data: Path, seed: int) -> Manifest:
    """Returns a manifest with a random split by image, which ignores groups."""
    items = []
    for file in read_class_folder(data).files:
        content = (data / file.path).read_bytes()
        try:
            picture = read_image(content)
        except ImageRefused:
            continue
        digest = hashlib.sha256(content).hexdigest()
        place = random.Random(f"{seed}:{file.path}").random()
        split = "train" if place > TEST_SHARE + VALIDATION_SHARE else "validation"
        split = "test" if place < TEST_SHARE else split
        items.append(Item(file.path, digest, picture.width, picture.height, file.label, file.path, split))
    return Manifest.of(data, items)


def run(*arguments: object) -> None:
    subprocess.run([sys.executable, "-m", "ml", *map(str, arguments)], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=50)
    options = parser.parse_args()

    by_image = options.out / "by-image.csv"
    split_by_image(options.data, options.seed).write(by_image)
    rows = []
    for name, manifest in (("by image", by_image), ("by group", options.manifest)):
        place = options.out / name.replace(" ", "-")
        images = ("--images", options.data)
        run(
            "train",
            manifest,
            *images,
            "--recipe",
            "seed_cnn",
            "--out",
            place / "bundle",
            "--work",
            place / "work",
        )
        run("evaluate", place / "bundle", manifest, *images, "--out", place)
        facts = json.loads((place / "report.json").read_text(encoding="utf-8"))
        rows.append((name, facts["n"], facts["groups"], facts["figures"]))
    print("\n| split | test images | accuracy | balanced accuracy | top-3 |\n|---|---|---|---|---|")
    for name, n, groups, figures in rows:
        cells = " | ".join(
            f"{figures[key]['value']:.3f} ({figures[key]['low']:.3f} to {figures[key]['high']:.3f})"
            for key in ("accuracy", "balanced_accuracy", "top_3_accuracy")
        )
        print(f"| {name} | {n} in {groups} groups | {cells} |")


if __name__ == "__main__":
    main()
