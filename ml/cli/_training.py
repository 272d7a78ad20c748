"""What the commands that train a model share: arguments, signals, error messages and exit codes."""

from __future__ import annotations

import argparse
import json
import logging
import signal
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

from ml import garbage_collection
from ml.native_stderr import suppress_native_stderr
from ml.serve.bundle import Bundle
from ml.train.memory import keep_freed_memory

Recipe = TypeVar("Recipe")


def add_shared_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments of both commands, except --recipe and --weights."""
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="folder of the bundle")
    parser.add_argument(
        "--work", type=Path, metavar="FOLDER", help="folder for checkpoints (default: temporary)"
    )
    parser.add_argument(
        "--origin", type=Path, metavar="FILE", help="JSON with licences and attributions for the card"
    )
    parser.add_argument("--seed", type=int, default=0, help="random seed (default: 0)")
    parser.add_argument(
        "--jsonl", action="store_true", help="write progress as JSON lines to standard output"
    )


def import_tensorflow() -> None:
    """Imports TensorFlow without its messages, and prepares the process for training.

    This takes seconds, so the commands call it in `run` and not for --help or invalid arguments.
    """
    keep_freed_memory()
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    with suppress_native_stderr(), garbage_collection.paused():
        import tensorflow  # noqa: F401


def find_recipe(recipes: Mapping[str, Recipe], name: str) -> Recipe:
    """Returns the recipe with this name.

    Raises:
        TrainingRefused: there is none.
    """
    from ml.train.input_pipeline import TrainingRefused

    if name not in recipes:
        raise TrainingRefused(f"Unknown recipe: {name!r}. Choose one of {', '.join(recipes)}.")
    return recipes[name]


def run_training(options: argparse.Namespace, train: Callable[[dict[str, Any]], Bundle]) -> int:
    """Trains, and reports the bundle, an interruption or an error.

    Args:
        options: the parsed arguments.
        train: trains and returns the bundle. It is called with the options of the run that both commands have, by
            name: work, seed, weights, origin, on_progress and should_stop.

    Returns:
        The exit code: 0, 1 after an error, or 143 if SIGTERM stopped the training.
    """
    from ml.data.manifests import DatasetRefused
    from ml.progress import console_reporter, json_reporter
    from ml.serve.bundle import BundleError
    from ml.train.fitting import TrainingStopped
    from ml.train.input_pipeline import TrainingRefused

    is_stopped = False

    def stop(_signal: int, _frame: FrameType | None) -> None:
        nonlocal is_stopped
        is_stopped = True

    signal.signal(signal.SIGTERM, stop)
    try:
        origin = json.loads(options.origin.read_text(encoding="utf-8")) if options.origin else None
        with tempfile.TemporaryDirectory() as temporary:
            bundle = train(
                {
                    "work": options.work or Path(temporary),
                    "seed": options.seed,
                    "weights": options.weights,
                    "origin": origin,
                    "on_progress": json_reporter(sys.stdout)
                    if options.jsonl
                    else console_reporter(sys.stdout),
                    "should_stop": lambda: is_stopped,
                }
            )
    except TrainingStopped:
        print("Training stopped. Run the same command again to resume.", file=sys.stderr)
        return 143
    except (TrainingRefused, DatasetRefused, BundleError, OSError, json.JSONDecodeError) as error:
        print(error, file=sys.stderr)
        return 1
    if not options.jsonl:
        print(f"{bundle.path}: model version {bundle.checksum[:12]}")
    return 0
