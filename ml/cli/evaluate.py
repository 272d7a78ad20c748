"""Evaluate a bundle on the frozen test part of a manifest.

Written to DIR: report.html with figures, report.json, report.txt.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", type=Path, help="the model's folder")
    parser.add_argument("manifest", type=Path, help="manifest.csv, as `audit` writes it")
    parser.add_argument("--images", type=Path, required=True, help="the data set's folder")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the report goes")
    parser.add_argument("--jsonl", action="store_true", help="events as JSON lines on standard output")


def run(options: argparse.Namespace) -> int:
    from ml.data.manifests import DatasetRefused, Manifest
    from ml.evaluate.evaluation import answer_test_images, evaluate
    from ml.progress import console_reporter, json_reporter
    from ml.reports.evaluation import evaluation_page, evaluation_text
    from ml.serve.bundle import BundleError, open_bundle

    tell = json_reporter(sys.stdout) if options.jsonl else console_reporter(sys.stderr)
    try:
        bundle = open_bundle(options.bundle)
        manifest = Manifest.read(options.manifest, options.images)
        facts = evaluate(answer_test_images(bundle, manifest, tell))
        text = evaluation_text(facts)
        options.out.mkdir(parents=True, exist_ok=True)
        content = {
            "report.json": json.dumps(facts, indent=1, ensure_ascii=False) + "\n",
            "report.html": evaluation_page(facts, f"model {bundle.checksum[:12]}"),
            "report.txt": text,
        }
        for name, written in content.items():
            (options.out / name).write_text(written, encoding="utf-8")
    except (BundleError, DatasetRefused, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    if not options.jsonl:
        print(text, end="")
    return 0
