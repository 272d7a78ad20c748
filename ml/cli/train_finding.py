"""Train a network that detects and localises fractures on X-rays with boxes, and write it as a bundle.

A run that was stopped or killed resumes when the same command runs again with the same --work. The folder needs
5 GB for FracAtlas.
"""

from __future__ import annotations

import argparse
import json
import logging
import signal
import sys
import tempfile
from pathlib import Path
from types import FrameType

from ml.cli.fit_recognition import add_recognition_arguments
from ml.native_stderr import suppress_native_stderr


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "labels", type=Path, help="CSV table with the columns image, group, fractured and boxes"
    )
    parser.add_argument("--images", type=Path, required=True, metavar="FOLDER", help="folder of the images")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="folder of the bundle")
    parser.add_argument(
        "--recipe", default="fracture", help="name of a recipe in ml/networks/finding.py (default: fracture)"
    )
    parser.add_argument(
        "--weights",
        type=Path,
        metavar="FILE",
        help="pretrained weights to start from (default: those of the recipe)",
    )
    parser.add_argument(
        "--work", type=Path, metavar="FOLDER", help="folder for checkpoints (default: temporary)"
    )
    parser.add_argument(
        "--origin", type=Path, metavar="FILE", help="JSON with licences and attributions for the card"
    )
    parser.add_argument("--seed", type=int, default=0, help="random seed (default: 0)")
    add_recognition_arguments(parser)
    parser.add_argument(
        "--jsonl", action="store_true", help="write progress as JSON lines to standard output"
    )


def run(options: argparse.Namespace) -> int:
    # TensorFlow takes seconds to import; --help and a mistyped argument should not.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    with suppress_native_stderr():
        import tensorflow  # noqa: F401
    from ml.data.findings import read_xrays
    from ml.data.manifests import DatasetRefused
    from ml.networks.finding import FINDING_RECIPES
    from ml.progress import console_reporter, json_reporter
    from ml.serve.bundle import BundleError
    from ml.train.finding_release import FindingRun, train_finding
    from ml.train.fitting import TrainingStopped
    from ml.train.input_pipeline import TrainingRefused
    from ml.train.recognition import RecognitionData

    stopped = False

    def stop(_signal: int, _frame: FrameType | None) -> None:
        nonlocal stopped
        stopped = True

    signal.signal(signal.SIGTERM, stop)
    on_progress = json_reporter(sys.stdout) if options.jsonl else console_reporter(sys.stdout)
    try:
        if options.recipe not in FINDING_RECIPES:
            known = ", ".join(FINDING_RECIPES)
            raise TrainingRefused(f"Unknown recipe: {options.recipe!r}. Choose one of {known}.")
        recipe = FINDING_RECIPES[options.recipe]
        xrays = read_xrays(options.labels, options.images)
        origin = json.loads(options.origin.read_text(encoding="utf-8")) if options.origin else None
        recognition = RecognitionData.read(options.fractures, options.fracture_images, options.other_images)
        with tempfile.TemporaryDirectory() as temporary:
            run = FindingRun(
                work=options.work or Path(temporary),
                seed=options.seed,
                weights=options.weights,
                origin=origin,
                recognition=recognition,
                on_progress=on_progress,
                should_stop=lambda: stopped,
            )
            bundle = train_finding(recipe, xrays, options.out, run)
    except TrainingStopped:
        print("Training stopped. Run the same command again to resume.", file=sys.stderr)
        return 143
    except (TrainingRefused, DatasetRefused, BundleError, OSError, json.JSONDecodeError) as error:
        print(error, file=sys.stderr)
        return 1
    if not options.jsonl:
        print(f"{bundle.path}: model version {bundle.checksum[:12]}")
    return 0
