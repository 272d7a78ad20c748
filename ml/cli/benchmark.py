"""Measure the latency of a model, relative to a plain MobileNetV2 in the same run."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from ml.data.image_limits import ImageRefused
from ml.data.images import read_image
from ml.native_stderr import suppress_native_stderr
from ml.serve.bundle import SHIPPED, BundleError, open_bundle


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments of the command."""
    parser.add_argument("image", type=Path, help="an X-ray")
    parser.add_argument("--bundle", type=Path, default=SHIPPED, help="the model (default: the shipped one)")
    parser.add_argument(
        "--engine",
        choices=("auto", "litert", "openvino"),
        default="litert",
        help="inference engine (default: litert)",
    )
    parser.add_argument("--rounds", type=int, default=100, help="number of measurements (default: 100)")


def run(options: argparse.Namespace) -> int:
    """Runs the command and returns its exit code."""
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    try:
        bundle, pixels = open_bundle(options.bundle), read_image(options.image).pixels
        with suppress_native_stderr():
            from ml.evaluate.timing import PLAIN, time_bundle

            medians = time_bundle(bundle, pixels, options.engine, options.rounds)
    except (BundleError, ImageRefused, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    for name, milliseconds in medians.items():
        print(f"{name:45} {milliseconds:7.2f} ms  {milliseconds / medians[PLAIN]:5.2f} x")
    return 0
