"""Fit again which images a finding bundle recognizes as bone X-rays. Its network and its findings do not change.

--fractures adds X-rays of fractures from other sources, for which it also sets the lower threshold of the finding.
--other-images adds medical images that should not be recognized, such as slices of CT.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from ml.native_stderr import suppress_native_stderr


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", type=Path, help="folder of the finding bundle")
    parser.add_argument(
        "labels", type=Path, help="CSV table with the columns image, group, fractured and boxes"
    )
    parser.add_argument("--images", type=Path, required=True, metavar="FOLDER", help="folder of the images")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="folder of the new bundle")
    parser.add_argument(
        "--work", type=Path, metavar="FOLDER", help="folder for the cached features (default: temporary)"
    )
    parser.add_argument(
        "--origin",
        type=Path,
        metavar="FILE",
        help="JSON with licences and attributions for the card (default: kept)",
    )
    parser.add_argument("--seed", type=int, default=0, help="random seed of the folds (default: 0)")
    add_recognition_arguments(parser)


def add_recognition_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments that train-finding has in common with this command."""
    parser.add_argument(
        "--fractures",
        type=Path,
        metavar="MANIFEST",
        help="manifest of X-rays of fractures from other sources",
    )
    parser.add_argument(
        "--fracture-images", type=Path, metavar="FOLDER", help="folder of the images of --fractures"
    )
    parser.add_argument(
        "--other-images",
        type=Path,
        metavar="FOLDER",
        help="medical images that are not bone X-rays, in one subfolder per kind; images of one volume have the same "
        "file name up to the first hyphen",
    )


def run(options: argparse.Namespace) -> int:
    with suppress_native_stderr():
        import tensorflow  # noqa: F401
    from ml.data.findings import read_xrays
    from ml.data.manifests import DatasetRefused
    from ml.progress import console_reporter
    from ml.serve.bundle import BundleError, open_bundle
    from ml.train.finding_release import refit_recognition
    from ml.train.input_pipeline import TrainingRefused
    from ml.train.recognition import RecognitionData

    try:
        xrays = read_xrays(options.labels, options.images)
        data = RecognitionData.read(options.fractures, options.fracture_images, options.other_images)
        origin = json.loads(options.origin.read_text(encoding="utf-8")) if options.origin else None
        with tempfile.TemporaryDirectory() as temporary:
            work = options.work or Path(temporary)
            bundle = refit_recognition(
                open_bundle(options.bundle),
                xrays,
                data,
                options.out,
                work,
                options.seed,
                origin,
                console_reporter(sys.stdout),
            )
    except (TrainingRefused, DatasetRefused, BundleError, OSError, json.JSONDecodeError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{bundle.path}: model version {bundle.checksum[:12]}")
    return 0
