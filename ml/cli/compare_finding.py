"""Compare the findings of two models on the test X-rays of a manifest.

Writes JSON with the figures of A ("before") and of B ("after"), their paired differences, and whether B is worse than A
by more than a margin ("judgement"). Groups with an X-ray that
one of the models was trained or calibrated on are left out.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("a", type=Path, metavar="A", help="bundle of the model to compare with")
    parser.add_argument("b", type=Path, metavar="B", help="bundle of the candidate")
    parser.add_argument("manifest", type=Path, help="manifest.csv written by `audit`")
    parser.add_argument("--images", type=Path, required=True, metavar="FOLDER", help="folder of the data set")
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="file for the JSON (default: standard output)"
    )
    parser.add_argument(
        "--jsonl", action="store_true", help="write progress as JSON lines to standard output"
    )


def run(options: argparse.Namespace) -> int:
    from ml.data.findings import xrays_of
    from ml.data.image_limits import ImageRefused
    from ml.data.manifests import DatasetRefused, Manifest
    from ml.evaluate.finding_comparison import compare_findings
    from ml.progress import console_reporter, json_reporter
    from ml.serve.bundle import BundleError, open_bundle

    on_progress = json_reporter(sys.stdout) if options.jsonl else console_reporter(sys.stderr)
    try:
        before, after = (bundle.finding or bundle for bundle in map(open_bundle, (options.a, options.b)))
        manifest = Manifest.read(options.manifest, options.images)
        xrays = xrays_of(manifest, manifest.subset("test"))
        text = json.dumps(compare_findings(before, after, xrays, on_progress), indent=1) + "\n"
        if options.out:
            options.out.write_text(text, encoding="utf-8")
        else:
            print(text, end="")
    except (BundleError, DatasetRefused, ImageRefused, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0
