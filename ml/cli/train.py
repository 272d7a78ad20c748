"""Train a model on the images of a manifest and write it as a bundle.

A run that was stopped or killed resumes when the same command runs again with the same --work.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from ml.cli import _training
from ml.serve.bundle import Bundle


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments of the command."""
    parser.add_argument("manifest", type=Path, help="manifest.csv written by `audit`")
    parser.add_argument("--images", type=Path, required=True, metavar="FOLDER", help="folder of the data set")
    parser.add_argument("--recipe", required=True, help="name of a recipe in ml/networks/recipes.py")
    start = parser.add_mutually_exclusive_group()
    start.add_argument(
        "--weights",
        type=Path,
        metavar="FILE",
        help="pretrained weights to start from (default: those of the recipe)",
    )
    start.add_argument("--start", type=Path, metavar="BUNDLE", help="start from the weights of this bundle")
    parser.add_argument(
        "--normal-images",
        type=Path,
        metavar="FOLDER",
        help="X-rays without fractures, on which the model is evaluated for the card",
    )
    parser.add_argument(
        "--answers", type=Path, metavar="FILE", help="file for the answers to the test images, for `evaluate`"
    )
    parser.add_argument("--epochs", type=int, help="number of epochs (default: that of the recipe)")
    parser.add_argument("--batch-size", type=int, help="batch size (default: that of the recipe)")
    _training.add_shared_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Runs the command and returns its exit code."""
    _training.import_tensorflow()
    from ml.data.manifests import Manifest
    from ml.networks.recipes import RECIPES
    from ml.train.cross_validation import RunOptions
    from ml.train.input_pipeline import TrainingRefused
    from ml.train.release import train

    def train_recipe(shared: dict[str, Any]) -> Bundle:
        recipe = _training.find_recipe(RECIPES, options.recipe)
        wanted = {"epochs": options.epochs, "batch_size": options.batch_size}
        overrides = {name: value for name, value in wanted.items() if value}
        if recipe.l2 and overrides:
            raise TrainingRefused(f"The recipe {recipe.name!r} trains without epochs and batches.")
        recipe = replace(recipe, **overrides)
        manifest = Manifest.read(options.manifest, options.images).with_kinds()
        run_options = RunOptions(**shared, start=options.start, normal_images=options.normal_images)
        return train(recipe, manifest, options.out, run_options, options.answers)

    return _training.run_training(options, train_recipe)
