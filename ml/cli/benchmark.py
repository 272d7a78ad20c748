"""Time a model's answers, as ratios to a plain MobileNetV2 in the same run."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from ml.data.image_limits import ImageRefused
from ml.data.images import read_image
from ml.quiet import quiet
from ml.serve.bundle import SHIPPED, BundleError, open_bundle


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("picture", type=Path, help="an X-ray")
    parser.add_argument("--bundle", type=Path, default=SHIPPED)
    parser.add_argument("--engine", choices=("auto", "litert", "openvino"), default="litert")
    parser.add_argument("--rounds", type=int, default=100)


def run(options: argparse.Namespace) -> int:
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    try:
        bundle, pixels = open_bundle(options.bundle), read_image(options.picture).pixels
    except (BundleError, ImageRefused, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    with quiet():
        from ml.evaluate.timing import PLAIN, time_bundle

        medians = time_bundle(bundle, pixels, options.engine, options.rounds)
    for name, milliseconds in medians.items():
        print(f"{name:45} {milliseconds:7.2f} ms  {milliseconds / medians[PLAIN]:5.2f} x")
    return 0
