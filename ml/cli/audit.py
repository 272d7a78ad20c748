"""Audit a data set: write a manifest with groups and splits, and a report.

FOLDER contains CLASS/*.jpg or CLASS/{Train,Test}/*.jpg (also .png and .dcm). The command writes manifest.csv,
report.html and report.json to DIR. When it runs again with the same DIR, images keep their splits.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments of the command."""
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="folder of the data set")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the results")
    parser.add_argument(
        "--groups",
        type=Path,
        metavar="CSV",
        help="known groups, such as patients: a CSV file with the columns path and group",
    )
    parser.add_argument(
        "--previous",
        type=Path,
        metavar="MANIFEST",
        help="manifest whose images keep their splits (default: DIR/manifest.csv, if it exists)",
    )
    parser.add_argument("--seed", type=int, default=0, help="random seed of the split (default: 0)")
    parser.add_argument(
        "--jsonl", action="store_true", help="write progress as JSON lines to standard output"
    )


def run(options: argparse.Namespace) -> int:
    """Runs the command and returns its exit code."""
    from ml.data.audit import audit
    from ml.data.groups import read_groups
    from ml.data.manifests import DatasetRefused, Manifest, read_class_folder
    from ml.progress import console_reporter, json_reporter
    from ml.reports.audit import audit_json, audit_page

    on_progress = json_reporter(sys.stdout) if options.jsonl else console_reporter(sys.stderr)
    try:
        given = None
        if options.groups:
            files = read_class_folder(options.folder).files
            given = read_groups(options.groups, [file.path for file in files])
        former = options.previous or options.out / "manifest.csv"
        previous = None
        if options.previous or former.exists():
            previous = Manifest.read(former, options.folder)
        found = audit(options.folder, on_progress, given=given, previous=previous, seed=options.seed)
        facts = audit_json(found)
        found.manifest.write(options.out / "manifest.csv")
        (options.out / "report.json").write_text(
            json.dumps(facts, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
        )
        page = audit_page(found, options.folder.resolve().name)
        (options.out / "report.html").write_text(page, encoding="utf-8")
    except (DatasetRefused, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    if not options.jsonl:
        _summarise(facts, options.out, former if previous else None)
    return 0


def _summarise(facts: dict[str, object], out: Path, former: Path | None) -> None:
    for name in ("num_images", "num_kept", "groups", "split"):
        print(f"{name}: {facts[name]}")
    for name in ("unreadable", "exact_duplicates", "near_duplicates", "conflicts", "mixed_groups"):
        found = facts[name]
        print(f"{name}: {len(found) if isinstance(found, list) else found}")
    if former:
        print(f"Images of {former} kept their splits.")
    print(f"Wrote manifest.csv, report.html and report.json to {out}.")
