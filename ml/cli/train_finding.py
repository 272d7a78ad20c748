"""Train the finding (is a bone broken, and where) on X-rays with boxes and write it as a bundle.

The same command with the same --work resumes a run that was stopped or killed. --work needs 5 GB for
FracAtlas.
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

from ml.native_stderr import suppress_native_stderr


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("labels", type=Path, help="labels.csv: image, group, fractured, boxes and more")
    parser.add_argument("--images", type=Path, required=True, help="the images' folder")
    parser.add_argument("--out", type=Path, required=True, help="where the bundle is written")
    parser.add_argument("--recipe", default="fracture", help="see ml/networks/finding.py")
    parser.add_argument("--weights", type=Path, help="pretrained weights instead of the recipe's")
    parser.add_argument("--work", type=Path, help="keeps checkpoints, so that the same command resumes")
    parser.add_argument("--origin", type=Path, help="JSON with licences and attributions, for the card")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jsonl", action="store_true", help="events as JSON lines on standard output")


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

    stopped = False

    def stop(_signal: int, _frame: FrameType | None) -> None:
        nonlocal stopped
        stopped = True

    signal.signal(signal.SIGTERM, stop)
    tell = json_reporter(sys.stdout) if options.jsonl else console_reporter(sys.stdout)
    try:
        if options.recipe not in FINDING_RECIPES:
            known = ", ".join(FINDING_RECIPES)
            raise TrainingRefused(f"There is no recipe {options.recipe!r}, only {known}.")
        recipe = FINDING_RECIPES[options.recipe]
        xrays = read_xrays(options.labels, options.images)
        origin = json.loads(options.origin.read_text(encoding="utf-8")) if options.origin else None
        with tempfile.TemporaryDirectory() as temporary:
            run = FindingRun(
                work=options.work or Path(temporary),
                seed=options.seed,
                weights=options.weights,
                origin=origin,
                tell=tell,
                should_stop=lambda: stopped,
            )
            bundle = train_finding(recipe, xrays, options.out, run)
    except TrainingStopped:
        print("Stopped; the same command resumes.", file=sys.stderr)
        return 143
    except (TrainingRefused, DatasetRefused, BundleError, OSError, json.JSONDecodeError) as error:
        print(error, file=sys.stderr)
        return 1
    if not options.jsonl:
        print(f"{bundle.path}: model version {bundle.checksum[:12]}")
    return 0
