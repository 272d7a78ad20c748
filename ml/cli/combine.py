"""Combine a bundle of the kind of fracture and a bundle of the finding into one model."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ml.serve.bundle import BundleError, BundleIncompatible, combine_bundles, open_bundle


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("kind", type=Path, help="folder of the bundle of the kind, made by `train`")
    parser.add_argument(
        "finding", type=Path, help="folder of the bundle of the finding, made by `train-finding`"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="folder of the new bundle")


def run(options: argparse.Namespace) -> int:
    try:
        kind, finding = open_bundle(options.kind), open_bundle(options.finding)
        for bundle, part, is_part in (
            (kind, "kind", "classes" in kind.card),
            (finding, "finding", finding.card.get("answers") == "finding"),
        ):
            if not is_part:
                raise BundleIncompatible(f"{bundle.path} is not a bundle of the {part}.")
        combined = combine_bundles(kind, finding, options.out)
    except (BundleError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    print(combined.checksum)
    return 0
