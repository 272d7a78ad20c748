"""Recalibrate a bundle's finding on X-rays of your own hospital, and write it as a new bundle.

Fits the calibration and the two thresholds; the networks stay as they are. Prints the figures before and after on these
X-rays. Needs at least 30 X-rays with and 30 without a fracture, in at least 10 groups. X-rays that the network was
trained on are left out.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="folder of the bundle")
    parser.add_argument(
        "labels",
        type=Path,
        metavar="LABELS",
        help="CSV table with the columns image, group and fractured, and optionally boxes and original_sha256",
    )
    parser.add_argument("--images", type=Path, required=True, metavar="FOLDER", help="folder of the images")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="folder of the new bundle")
    parser.add_argument(
        "--jsonl", action="store_true", help="write progress as JSON lines to standard output"
    )


def run(options: argparse.Namespace) -> int:
    from ml.data.findings import read_xrays
    from ml.data.image_limits import ImageRefused
    from ml.data.manifests import DatasetRefused
    from ml.evaluate.finding_recalibration import RecalibrationRefused, recalibrate
    from ml.progress import console_reporter, json_reporter
    from ml.serve.bundle import BundleError, open_bundle

    on_progress = json_reporter(sys.stdout) if options.jsonl else console_reporter(sys.stderr)
    try:
        bundle = open_bundle(options.bundle)
        xrays = read_xrays(options.labels, options.images, needs_boxes=False)
        new = recalibrate(bundle, xrays, options.out, on_progress)
    except (RecalibrationRefused, BundleError, DatasetRefused, ImageRefused, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    if not options.jsonl:
        print(_text((new.finding or new).card["figures"]["recalibrated"]))
        print(f"{new.path}: model version {new.checksum[:12]}")
    return 0


def _text(measured: dict[str, Any]) -> str:
    before, after = measured["before"]["all"], measured["after"]["all"]
    thresholds = measured["thresholds"]
    lines = [
        f"{measured['n']} X-rays in {measured['groups']} groups, {measured['fractured']} of them fractured. "
        "95% intervals by a bootstrap of groups; after: cross-fitted.",
        f"{'':48}{'before':>22}{'after':>22}",
    ]
    for title, name in (
        ("Calibration error", "calibration_error"),
        ("Missed (no fracture seen among fractured)", "no_fracture_seen_among_fractured"),
        ("False alarms (fracture seen among unfractured)", "fracture_seen_among_unfractured"),
    ):
        lines.append(f"{title:48}{_figure(before[name]):>22}{_figure(after[name]):>22}")
    for title, name in (
        ("No fracture seen below", "not_seen_below"),
        ("No fracture seen below, other sources", "not_seen_below_other_sources"),
        ("Fracture seen from", "seen_from"),
    ):
        if (values := thresholds.get(name)) is None:
            continue
        lines.append(f"{title:48}{values['before']:>22.3f}{values['after']:>22.3f}")
    if not measured["is_changed"]:
        lines.append("Nothing changed: the new weights and thresholds are the old ones.")
    if others := measured["other_sources"]:
        how = (
            "was fitted to them"
            if others["refitted"]
            else "keeps its rank: as many of all X-rays lie below it as before"
        )
        lines.append(
            f"{others['n']} X-rays, {others['fractured']} of them fractured, are more similar to other sources than "
            f"to the one that the network was trained on. Their lower threshold {how}."
        )
    left_out = measured["left_out"]
    lines.append(
        f"Left out: {left_out['trained_on']} that the network was trained on, {left_out['contradicted']} with copies "
        f"under the opposite label, {left_out['not_recognised']} that it does not recognize."
    )
    if measured["known_to_old_calibration"]:
        lines.append(
            f"The old calibration was fitted to {measured['known_to_old_calibration']} of these X-rays, so its figures "
            "may be too good."
        )
    return "\n".join(lines)


def _figure(estimate: dict[str, Any]) -> str:
    value, low, high = (estimate[name] for name in ("value", "low", "high"))
    return "-" if value is None else f"{value:.3f} ({low:.3f}-{high:.3f})"
