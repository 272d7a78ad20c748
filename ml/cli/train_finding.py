"""Train a network that detects and localises fractures on X-rays with boxes, and write it as a bundle.

A run that was stopped or killed resumes when the same command runs again with the same --work. The folder needs
5 GB for FracAtlas.
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
        "labels", type=Path, help="CSV table with the columns image, group, fractured and boxes"
    )
    parser.add_argument("--images", type=Path, required=True, metavar="FOLDER", help="folder of the images")
    parser.add_argument(
        "--recipe", default="fracture", help="name of a recipe in ml/networks/finding.py (default: fracture)"
    )
    parser.add_argument(
        "--weights",
        type=Path,
        metavar="FILE",
        help="pretrained weights to start from (default: those of the recipe)",
    )
    _training.add_shared_arguments(parser)
    add_recognition_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Runs the command and returns its exit code."""
    _training.import_tensorflow()
    from ml.data.findings import read_xrays
    from ml.networks.finding import FINDING_RECIPES
    from ml.train.finding_release import FindingRun, train_finding
    from ml.train.recognition import RecognitionData

    def train_recipe(shared: dict[str, Any]) -> Bundle:
        recipe = _training.find_recipe(FINDING_RECIPES, options.recipe)
        xrays = read_xrays(options.labels, options.images)
        recognition = RecognitionData.read(options.fractures, options.fracture_images, options.other_images)
        return train_finding(recipe, xrays, options.out, FindingRun(**shared, recognition=recognition))

    return _training.run_training(options, train_recipe)
