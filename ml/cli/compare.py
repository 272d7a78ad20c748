"""Compare two bundles on the same frozen test images: is B better than A?"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("a", type=Path, metavar="BUNDLE_A", help="the one to measure against")
    parser.add_argument("b", type=Path, metavar="BUNDLE_B", help="the candidate")
    parser.add_argument("manifest", type=Path, help="manifest.csv, as `audit` writes it")
    parser.add_argument("--images", type=Path, required=True, help="the data set's folder")
    parser.add_argument("--json", action="store_true", help="all of it as JSON on standard output")


def run(options: argparse.Namespace) -> int:
    from ml.data.manifests import DatasetRefused, Manifest
    from ml.evaluate.comparison import compare
    from ml.evaluate.evaluation import answer_test_images
    from ml.reports.comparison import comparison_text
    from ml.serve.bundle import BundleError, open_bundle

    try:
        manifest = Manifest.read(options.manifest, options.images)
        bundles = open_bundle(options.a), open_bundle(options.b)
        facts = compare(*(answer_test_images(bundle, manifest) for bundle in bundles))
    except (BundleError, DatasetRefused, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    print(json.dumps(facts, indent=1, ensure_ascii=False) if options.json else comparison_text(facts))
    return 0
