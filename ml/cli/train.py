"""Train a model on a manifest's images and write it as a bundle.

The same command with the same --work resumes a run that was stopped or killed.
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

from ml.quiet import quiet


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("manifest", type=Path, help="manifest.csv, as `audit` writes it")
    parser.add_argument("--images", type=Path, required=True, help="the data set's folder")
    parser.add_argument("--recipe", required=True, help="see ml/networks/recipes.py")
    parser.add_argument("--out", type=Path, required=True, help="where the bundle is written")
    start = parser.add_mutually_exclusive_group()
    start.add_argument(
        "--weights",
        type=Path,
        help="weights file of a pretrained network, instead of the one that comes with the recipe",
    )
    start.add_argument("--start", type=Path, metavar="BUNDLE", help="go on from this bundle's weights")
    parser.add_argument("--work", type=Path, help="keeps checkpoints, so that the same command resumes")
    parser.add_argument("--origin", type=Path, help="JSON with licences and attributions, for the card")
    parser.add_argument("--whole-bones", type=Path, help="X-rays without fracture, measured for the card")
    parser.add_argument(
        "--answers", type=Path, metavar="FILE", help="saves the answers for the test images, for `evaluate`"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, help="instead of the recipe's")
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--jsonl", action="store_true", help="events as JSON lines on standard output")


def run(options: argparse.Namespace) -> int:
    # TensorFlow takes seconds to import; --help and a mistyped argument should not.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    with quiet():
        import tensorflow  # noqa: F401
    from ml.data.manifests import DatasetRefused, Manifest
    from ml.events import tell_json, tell_person
    from ml.networks.recipes import RECIPES
    from ml.serve.bundle import BundleError
    from ml.train.fitting import TrainingStopped
    from ml.train.input_pipeline import TrainingRefused
    from ml.train.learning import Run
    from ml.train.release import train

    stopped = False

    def stop(_signal: int, _frame: FrameType | None) -> None:
        nonlocal stopped
        stopped = True

    signal.signal(signal.SIGTERM, stop)
    tell = tell_json(sys.stdout) if options.jsonl else tell_person(sys.stdout)
    try:
        if options.recipe not in RECIPES:
            raise TrainingRefused(f"There is no recipe {options.recipe!r}, only {', '.join(RECIPES)}.")
        recipe = RECIPES[options.recipe]
        changes = {"epochs": options.epochs, "batch_size": options.batch_size}
        recipe = replace(recipe, **{name: value for name, value in changes.items() if value})
        manifest = Manifest.read(options.manifest, options.images)
        origin = json.loads(options.origin.read_text(encoding="utf-8")) if options.origin else None
        with tempfile.TemporaryDirectory() as temporary:
            work = options.work or Path(temporary)
            run = Run(
                work=work,
                seed=options.seed,
                weights=options.weights,
                start=options.start,
                origin=origin,
                whole_bones=options.whole_bones,
                tell=tell,
                should_stop=lambda: stopped,
            )
            bundle = train(recipe, manifest, options.out, run, options.answers)
    except TrainingStopped:
        print("Stopped; the same command resumes.", file=sys.stderr)
        return 143
    except (TrainingRefused, DatasetRefused, BundleError, OSError, json.JSONDecodeError) as error:
        print(error, file=sys.stderr)
        return 1
    if not options.jsonl:
        print(f"{bundle.path}: model version {bundle.checksum[:12]}")
    return 0
