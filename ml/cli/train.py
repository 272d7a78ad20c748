"""Train a model on the images of a manifest and write it as a bundle.

A run that was stopped or killed resumes when the same command runs again with the same --work.
"""

from __future__ import annotations

import argparse
import json
import logging
import signal
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from types import FrameType

from ml import garbage_collection
from ml.native_stderr import suppress_native_stderr


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments of the command."""
    parser.add_argument("manifest", type=Path, help="manifest.csv written by `audit`")
    parser.add_argument("--images", type=Path, required=True, metavar="FOLDER", help="folder of the data set")
    parser.add_argument("--recipe", required=True, help="name of a recipe in ml/networks/recipes.py")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="folder of the bundle")
    start = parser.add_mutually_exclusive_group()
    start.add_argument(
        "--weights",
        type=Path,
        metavar="FILE",
        help="pretrained weights to start from (default: those of the recipe)",
    )
    start.add_argument("--start", type=Path, metavar="BUNDLE", help="start from the weights of this bundle")
    parser.add_argument(
        "--work", type=Path, metavar="FOLDER", help="folder for checkpoints (default: temporary)"
    )
    parser.add_argument(
        "--origin", type=Path, metavar="FILE", help="JSON with licences and attributions for the card"
    )
    parser.add_argument(
        "--normal-images",
        type=Path,
        metavar="FOLDER",
        help="X-rays without fractures, on which the model is evaluated for the card",
    )
    parser.add_argument(
        "--answers", type=Path, metavar="FILE", help="file for the answers to the test images, for `evaluate`"
    )
    parser.add_argument("--seed", type=int, default=0, help="random seed (default: 0)")
    parser.add_argument("--epochs", type=int, help="number of epochs (default: that of the recipe)")
    parser.add_argument("--batch-size", type=int, help="batch size (default: that of the recipe)")
    parser.add_argument(
        "--jsonl", action="store_true", help="write progress as JSON lines to standard output"
    )


def run(options: argparse.Namespace) -> int:
    """Runs the command and returns its exit code."""
    # TensorFlow takes seconds to import, so it is not imported for --help or invalid arguments.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    with suppress_native_stderr(), garbage_collection.paused():
        import tensorflow  # noqa: F401
    from ml.data.manifests import DatasetRefused, Manifest
    from ml.networks.recipes import RECIPES
    from ml.progress import console_reporter, json_reporter
    from ml.serve.bundle import BundleError
    from ml.train.cross_validation import RunOptions
    from ml.train.fitting import TrainingStopped
    from ml.train.input_pipeline import TrainingRefused
    from ml.train.release import train

    is_stopped = False

    def stop(_signal: int, _frame: FrameType | None) -> None:
        nonlocal is_stopped
        is_stopped = True

    signal.signal(signal.SIGTERM, stop)
    on_progress = json_reporter(sys.stdout) if options.jsonl else console_reporter(sys.stdout)
    try:
        if options.recipe not in RECIPES:
            raise TrainingRefused(f"Unknown recipe: {options.recipe!r}. Choose one of {', '.join(RECIPES)}.")
        recipe = RECIPES[options.recipe]
        overrides = {"epochs": options.epochs, "batch_size": options.batch_size}
        recipe = replace(recipe, **{name: value for name, value in overrides.items() if value})
        manifest = Manifest.read(options.manifest, options.images)
        origin = json.loads(options.origin.read_text(encoding="utf-8")) if options.origin else None
        with tempfile.TemporaryDirectory() as temporary:
            work = options.work or Path(temporary)
            run = RunOptions(
                work=work,
                seed=options.seed,
                weights=options.weights,
                start=options.start,
                origin=origin,
                normal_images=options.normal_images,
                on_progress=on_progress,
                should_stop=lambda: is_stopped,
            )
            bundle = train(recipe, manifest, options.out, run, options.answers)
    except TrainingStopped:
        print("Training stopped. Run the same command again to resume.", file=sys.stderr)
        return 143
    except (TrainingRefused, DatasetRefused, BundleError, OSError, json.JSONDecodeError) as error:
        print(error, file=sys.stderr)
        return 1
    if not options.jsonl:
        print(f"{bundle.path}: model version {bundle.checksum[:12]}")
    return 0
