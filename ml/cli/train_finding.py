"""Train a network that detects and localises fractures on X-rays with boxes, and write it as a bundle.

With --start, the training continues from the finding of a bundle, on a data set that `audit` has split. A run that was
stopped or killed resumes when the same command runs again with the same --work. The folder needs 5 GB for FracAtlas.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ml.cli import _training
from ml.cli.fit_recognition import add_recognition_arguments
from ml.serve.bundle import Bundle


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments of the command."""
    parser.add_argument(
        "labels",
        type=Path,
        help="CSV table with the columns image, group, fractured and boxes; with --start, a manifest.csv written by "
        "`audit` for a folder with findings.csv",
    )
    parser.add_argument("--images", type=Path, required=True, metavar="FOLDER", help="folder of the images")
    parser.add_argument(
        "--recipe",
        help="name of a recipe in ml/networks/finding_recipes.py (default: fracture, or fracture_tune with --start)",
    )
    start = parser.add_mutually_exclusive_group()
    start.add_argument(
        "--weights",
        type=Path,
        metavar="FILE",
        help="pretrained weights to start from (default: those of the recipe)",
    )
    start.add_argument(
        "--start",
        type=Path,
        metavar="BUNDLE",
        help="continue from the finding of this bundle, whose recognition is kept",
    )
    _training.add_shared_arguments(parser)
    add_recognition_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Runs the command and returns its exit code."""
    _training.import_tensorflow()
    return _training.run_training(options, lambda shared: _train(options, shared))


def _train(options: argparse.Namespace, shared: dict[str, Any]) -> Bundle:
    from ml.data.findings import read_xrays
    from ml.networks.finding_recipes import FINDING_RECIPES
    from ml.train.finding_release import FindingRun, train_finding
    from ml.train.recognition import RecognitionData

    if options.start:
        return _retrain(options, shared)
    recipe = _training.find_recipe(FINDING_RECIPES, options.recipe or "fracture")
    xrays = read_xrays(options.labels, options.images)
    recognition = RecognitionData.read(options.fractures, options.fracture_images, options.other_images)
    return train_finding(recipe, xrays, options.out, FindingRun(**shared, recognition=recognition))


def _retrain(options: argparse.Namespace, shared: dict[str, Any]) -> Bundle:
    from ml.data.manifests import DatasetRefused, Manifest
    from ml.networks.finding_recipes import RETRAINING_RECIPES
    from ml.serve.bundle import open_bundle
    from ml.train.finding_retraining import RetrainingRun, retrain_finding

    if options.fractures or options.fracture_images or options.other_images:
        raise DatasetRefused(
            "With --start, the recognition of that bundle is kept, so --fractures, --fracture-images and "
            "--other-images cannot be used."
        )
    recipe = _training.find_recipe(RETRAINING_RECIPES, options.recipe or "fracture_tune")
    manifest = Manifest.read(options.labels, options.images)
    del shared["weights"]
    return retrain_finding(recipe, open_bundle(options.start), manifest, options.out, RetrainingRun(**shared))
