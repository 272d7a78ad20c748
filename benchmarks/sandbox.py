"""Measures the time that reading an image in a decoder process (ml.data.sandbox) adds.

python -m benchmarks.sandbox [--rounds 100]
"""

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
from PIL import Image

from ml.data import images, sandbox
from tests.ml.data.test_dicom import dicom
from tests.ml.data.test_images import encoded
from tests.ml.drawings import draw_bone


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=100)
    options = parser.parse_args()
    large = np.asarray(Image.fromarray(draw_bone()).resize((2500, 3000)))
    files = {
        "PNG, 160 x 224": encoded(Image.fromarray(draw_bone())),
        "JPEG, 2500 x 3000": encoded(Image.fromarray(large), "JPEG", quality=90),
        "DICOM, 2500 x 3000, 16 bits": dicom(large.astype(np.uint16) * 16),
    }
    print("| file | in the same process | in the sandbox | difference |")
    print("|---|---|---|---|")
    for name, content in files.items():
        sandbox.read_image(content)  # starts the decoder process
        turns = [
            (took(images.read_image, content), took(sandbox.read_image, content))
            for _ in range(options.rounds)
        ]
        here, apart = (1000 * statistics.median(times) for times in zip(*turns, strict=True))
        print(f"| {name} | {here:.0f} ms | {apart:.0f} ms | {apart - here:.0f} ms |")


def took(read: Callable[[bytes], object], content: bytes) -> float:
    started = time.perf_counter()
    read(content)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
