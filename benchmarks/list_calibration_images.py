"""Adds calibration_images.txt to a finding bundle that was released without it, and writes it as a new bundle.

The X-rays of the release's calibration are those of the training data that the network was not trained on.

    python -m benchmarks.list_calibration_images BUNDLE LABELS.csv --images FOLDER --out NEW
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from ml.data.findings import list_digests, read_xrays
from ml.data.manifests import DatasetRefused
from ml.serve.bundle import (
    CALIBRATION_IMAGES,
    TRAINING_IMAGES,
    BundleError,
    combine_bundles,
    open_bundle,
    write_bundle,
)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "bundle", type=Path, help="folder of the bundle of the finding, or of one that contains it"
    )
    parser.add_argument("labels", type=Path, help="CSV table of the training data, as for train-finding")
    parser.add_argument("--images", type=Path, required=True, metavar="FOLDER", help="folder of the images")
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="FOLDER",
        help="folder of the new bundle, which may be that of BUNDLE",
    )
    options = parser.parse_args(arguments)
    try:
        bundle = open_bundle(options.bundle)
        finding = bundle.finding or bundle
        trained_on = finding.digests(TRAINING_IMAGES)
        xrays = [xray for xray in read_xrays(options.labels, options.images) if xray.sha256 not in trained_on]
        expected = finding.card["calibration"]["n"]
        if len(xrays) != expected:
            print(
                f"The network was not trained on {len(xrays)} of these X-rays, but was calibrated on {expected}.",
                file=sys.stderr,
            )
            return 1
        files = {**finding.files(), CALIBRATION_IMAGES: list_digests(xrays)}
        if bundle.finding is None:
            new = write_bundle(options.out, files, finding.card)
        else:
            with tempfile.TemporaryDirectory() as temporary:
                new = combine_bundles(
                    bundle, write_bundle(Path(temporary) / "finding", files, finding.card), options.out
                )
    except (BundleError, DatasetRefused, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{new.path}: {len(xrays)} X-rays listed, model version {new.checksum[:12]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
