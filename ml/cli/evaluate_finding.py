"""Evaluate a finding bundle on X-rays that it did not learn from.

Written to --out: JSON with each figure's value, 95 % interval and n, of all X-rays, without metal and by body
part. X-rays that the bundle learned from are counted in "learned_from".
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("labels", type=Path, help="labels.csv: image, group, fractured, boxes and more")
    parser.add_argument("--images", type=Path, required=True, help="the images' folder")
    parser.add_argument("--bundle", type=Path, help="instead of the shipped one")
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="where the JSON goes; default: standard output"
    )
    parser.add_argument("--engine", choices=("auto", "litert", "openvino"), default="auto")


def run(options: argparse.Namespace) -> int:
    from ml.data.findings import read_xrays
    from ml.data.image_limits import ImageRefused
    from ml.data.manifests import DatasetRefused
    from ml.evaluate.finding import answer, figures
    from ml.progress import console_reporter
    from ml.serve.bundle import TRAINING_IMAGES, BundleError, open_bundle
    from ml.serve.finding import SHIPPED, FindingPredictor

    try:
        bundle = open_bundle(options.bundle or SHIPPED)
        xrays = read_xrays(options.labels, options.images)
        found = figures(answer(FindingPredictor(bundle, options.engine), xrays, console_reporter(sys.stderr)))
        seen = bundle.file(TRAINING_IMAGES)
        learned = set(seen.read_text(encoding="ascii").split()) if seen.exists() else set()
        facts = {
            "bundle": bundle.checksum,
            "learned_from": sum(xray.sha256 in learned for xray in xrays),
            "figures": found,
        }
        text = json.dumps(facts, indent=1) + "\n"
        if options.out:
            options.out.write_text(text, encoding="utf-8")
        else:
            print(text, end="")
    except (BundleError, DatasetRefused, ImageRefused, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0
