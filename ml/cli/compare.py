"""Compare two models on the same frozen test images: is B worse than A by more than a margin?

A and B are bundles, or answers.npz files that `evaluate` wrote. The manifest says which test images count;
without it, those of the answers do. Models with different classes are compared on the classes that both know.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("a", type=Path, metavar="A", help="the model to compare with: bundle or answers.npz")
    parser.add_argument("b", type=Path, metavar="B", help="the candidate: bundle or answers.npz")
    parser.add_argument(
        "manifest",
        type=Path,
        nargs="?",
        help="manifest.csv, as `audit` writes it; bundles need it",
    )
    parser.add_argument("--images", type=Path, help="the data set's folder; bundles need it")
    parser.add_argument("--json", action="store_true", help="all of it as JSON on standard output")


def run(options: argparse.Namespace) -> int:
    from ml.data.manifests import DatasetRefused, Manifest, shared_classes
    from ml.evaluate.answers import Answers, predict_test_images
    from ml.evaluate.comparison import compare
    from ml.reports.comparison import comparison_text
    from ml.serve.bundle import Bundle, BundleError, open_bundle

    def source(path: Path) -> Bundle | Answers:
        if not path.is_dir():
            return Answers.load(path)
        if options.manifest is None or options.images is None:
            raise DatasetRefused(f"{path} is a bundle: give the manifest and --images to predict with it.")
        return open_bundle(path)

    def answers_of(model: Bundle | Answers) -> Answers:
        if isinstance(model, Bundle):
            assert manifest is not None  # noqa: S101 - source() refuses a bundle without it
            return predict_test_images(model, manifest)
        return model.select(manifest.subset("test")) if manifest else model

    try:
        models = [source(options.a), source(options.b)]
        classes = shared_classes(models[0].classes, models[1].classes)
        manifest = None
        if options.manifest:
            manifest = (
                Manifest.read(options.manifest, options.images or Path()).with_kinds().of_classes(classes)
            )
        facts = compare(*map(answers_of, models))
    except (BundleError, DatasetRefused, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    print(json.dumps(facts, indent=1, ensure_ascii=False) if options.json else comparison_text(facts))
    return 0
