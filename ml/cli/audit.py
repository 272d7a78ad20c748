"""Audit a data set of class folders: manifest, duplicates, groups, split, report.

FOLDER holds CLASS/*.jpg or CLASS/{Train,Test}/*.jpg (also .png, .dcm). Written to DIR: manifest.csv,
report.html, report.json. Run again with the same DIR, images keep the side of the split they had.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, help="the data set's folder")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the findings go")
    parser.add_argument(
        "--groups", type=Path, metavar="CSV", help="columns path,group: patients or sources you know of"
    )
    parser.add_argument(
        "--previous", type=Path, metavar="MANIFEST", help="its sides are kept (default: DIR/manifest.csv)"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jsonl", action="store_true", help="events as JSON lines on standard output")


def run(options: argparse.Namespace) -> int:
    from ml.data.audit import audit
    from ml.data.groups import read_groups
    from ml.data.manifests import DatasetRefused, Manifest, read_class_folder
    from ml.events import tell_json, tell_person
    from ml.reports.audit import audit_json, audit_page

    tell = tell_json(sys.stdout) if options.jsonl else tell_person(sys.stderr)
    try:
        given = None
        if options.groups:
            files = read_class_folder(options.folder).files
            given = read_groups(options.groups, [file.path for file in files])
        former = options.previous or options.out / "manifest.csv"
        previous = None
        if options.previous or former.exists():
            previous = Manifest.read(former, options.folder)
        found = audit(options.folder, tell, given=given, previous=previous, seed=options.seed)
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
        print(f"Sides kept from {former}.")
    print(f"Written: {out / 'manifest.csv'}, report.html, report.json")
