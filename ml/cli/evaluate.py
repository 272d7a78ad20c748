"""Evaluate a bundle on the frozen test split of a manifest.

Written to DIR: report.html with figures, report.json, report.txt, and answers.npz, the answers for each
test image, which `compare` reads.
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
    parser.add_argument(
        "--answers", type=Path, metavar="FILE", help="answers that `train` saved, instead of predicting again"
    )
    parser.add_argument("--jsonl", action="store_true", help="events as JSON lines on standard output")


def run(options: argparse.Namespace) -> int:
    from ml.data.manifests import DatasetRefused, Manifest
    from ml.evaluate import answers
    from ml.evaluate.evaluation import evaluate
    from ml.progress import console_reporter, json_reporter
    from ml.reports.evaluation import evaluation_page, evaluation_text
    from ml.serve.bundle import BundleError, open_bundle

    on_progress = json_reporter(sys.stdout) if options.jsonl else console_reporter(sys.stderr)
    try:
        bundle = open_bundle(options.bundle)
        manifest = Manifest.read(options.manifest, options.images).with_kinds()
        if options.answers:
            found = answers.Answers.load(options.answers)
            if found.checksum != bundle.checksum:
                raise DatasetRefused(
                    f"The answers {options.answers} are those of model {found.checksum[:12]}, "
                    f"not of {bundle.checksum[:12]}."
                )
            found = found.select(manifest.subset("test"))
        else:
            found = answers.predict_test_images(bundle, manifest, on_progress)
        facts = evaluate(found)
        text = evaluation_text(facts)
        options.out.mkdir(parents=True, exist_ok=True)
        found.save(options.out / answers.FILE)
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
