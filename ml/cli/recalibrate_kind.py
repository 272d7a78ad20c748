"""Fit the calibration of the kind of fracture again, on predictions for images that it was not trained on."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ml.native_stderr import suppress_native_stderr


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", type=Path, help="folder of the bundle")
    parser.add_argument(
        "predictions", type=Path, help="held_out.npz, which `train` writes to its --work folder"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="folder of the new bundle")
    parser.add_argument(
        "--manifest", type=Path, metavar="FILE", help="manifest whose test images are evaluated"
    )
    parser.add_argument("--images", type=Path, metavar="FOLDER", help="folder of the images of --manifest")
    parser.add_argument(
        "--normal-images", type=Path, metavar="FOLDER", help="X-rays without fractures to evaluate"
    )


def run(options: argparse.Namespace) -> int:
    with suppress_native_stderr():
        import tensorflow  # noqa: F401
    from ml.data.manifests import DatasetRefused, Manifest
    from ml.progress import console_reporter
    from ml.serve.bundle import BundleError, open_bundle
    from ml.train.cross_validation import HeldOutPredictions
    from ml.train.release import recalibrate

    try:
        manifest = Manifest.read(options.manifest, options.images) if options.manifest else None
        held_out = HeldOutPredictions.load(options.predictions)
        bundle = recalibrate(
            open_bundle(options.bundle),
            held_out,
            options.out,
            manifest,
            options.normal_images,
            console_reporter(sys.stdout),
        )
    except (BundleError, DatasetRefused, OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{bundle.path}: model version {bundle.checksum[:12]}")
    return 0
