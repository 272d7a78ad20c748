"""Evaluate a finding bundle on X-rays that it was not trained on.

Writes JSON with the value, 95% confidence interval and n of each metric, for all X-rays, for those without hardware
and for each body part. "learned_from" is the number of X-rays that the bundle was trained on.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "labels", type=Path, help="CSV table with the columns image, group, fractured and boxes"
    )
    parser.add_argument("--images", type=Path, required=True, metavar="FOLDER", help="folder of the images")
    parser.add_argument(
        "--bundle", type=Path, metavar="FOLDER", help="folder of the bundle (default: the shipped bundle)"
    )
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="file for the JSON (default: standard output)"
    )
    parser.add_argument("--report", type=Path, metavar="FILE", help="file for a report as an HTML page")
    parser.add_argument(
        "--engine",
        choices=("auto", "litert", "openvino"),
        default="auto",
        help="inference engine (default: auto)",
    )


def run(options: argparse.Namespace) -> int:
    from ml.data.findings import read_xrays
    from ml.data.image_limits import ImageRefused
    from ml.data.manifests import DatasetRefused
    from ml.evaluate.finding import answer, curves, figures
    from ml.progress import console_reporter
    from ml.serve.bundle import FINDING, SHIPPED, TRAINING_IMAGES, BundleError, open_bundle
    from ml.serve.finding import FindingPredictor

    try:
        bundle = open_bundle(options.bundle or SHIPPED / FINDING)
        xrays = read_xrays(options.labels, options.images)
        answered = answer(FindingPredictor(bundle, options.engine), xrays, console_reporter(sys.stderr))
        training_digests = bundle.digests(TRAINING_IMAGES)
        facts = {
            "bundle": bundle.checksum,
            "learned_from": sum(xray.sha256 in training_digests for xray in xrays),
            "figures": figures(answered),
            "curves": curves(answered),
        }
        text = json.dumps(facts, indent=1) + "\n"
        if options.report:
            from ml.reports.finding import finding_page

            options.report.write_text(finding_page(facts), encoding="utf-8")
        if options.out:
            options.out.write_text(text, encoding="utf-8")
        else:
            print(text, end="")
    except (BundleError, DatasetRefused, ImageRefused, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0
