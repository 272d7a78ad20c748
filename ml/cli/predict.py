"""Answer X-rays: is a bone broken, where, how sure; then which kinds of fracture are likely.

The shipped models answer unless --bundle (the kind) or --finding-bundle name others. A file that cannot be
used gets its own line with the reason; the exit code is 1 only if no file at all could be answered.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ml.classes import display_name
from ml.data.image_limits import ImageRefused
from ml.data.sandbox import read_image
from ml.native_stderr import suppress_native_stderr
from ml.serve.bundle import SHIPPED, BundleError, open_bundle
from ml.serve.finding import SHIPPED as SHIPPED_FINDING
from ml.serve.finding import Finding, FindingPredictor
from ml.serve.inference import Prediction, Predictor

WARNING = "Not a diagnosis. The models cannot rule out a fracture."
MAX_KINDS = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("paths", type=Path, nargs="+", metavar="PATH", help="JPEG, PNG or DICOM files")
    parser.add_argument("--bundle", type=Path, default=SHIPPED, help="model of the kind of fracture")
    parser.add_argument("--finding-bundle", type=Path, default=SHIPPED_FINDING, help="model of the finding")
    parser.add_argument("--engine", choices=("auto", "litert", "openvino"), default="auto")
    parser.add_argument("--jsonl", action="store_true", help="one JSON object a file on standard output")


def run(options: argparse.Namespace) -> int:
    try:
        bundle, finding_bundle = open_bundle(options.bundle), open_bundle(options.finding_bundle)
        with suppress_native_stderr():
            predictor = Predictor(bundle, options.engine)
            finding_predictor = FindingPredictor(finding_bundle, options.engine)
    except BundleError as error:
        print(error, file=sys.stderr)
        return 1
    answered = 0
    for path in options.paths:
        try:
            pixels = read_image(path).pixels
            prediction, finding = predictor.predict([pixels])[0], finding_predictor.predict([pixels])[0]
        except (ImageRefused, OSError) as error:
            reason = (
                str(error)
                if isinstance(error, ImageRefused)
                else f"The file cannot be read: {error.strerror}."
            )
            print(json.dumps({"file": str(path), "error": reason}) if options.jsonl else f"{path}: {reason}")
            continue
        answered += 1
        if options.jsonl:
            print(json.dumps(as_json(path, prediction, finding)))
        else:
            print(as_text(path, prediction, finding))
    if not options.jsonl:
        print(WARNING)
    return 0 if answered else 1


def as_json(path: Path, prediction: Prediction, finding: Finding) -> dict[str, Any]:
    kinds = likely_kinds(prediction, finding)
    return {
        "file": str(path),
        "finding": finding.finding,
        "fracture_probability": finding.probability,
        "marks": [asdict(mark) for mark in finding.marks],
        "body_part": finding.body_part,
        "kinds": [{"kind": kind, "probability": prediction.probabilities[kind]} for kind in kinds],
        "kind_uncertain": is_kind_uncertain(prediction),
        "class": prediction.class_name,
        "confidence": prediction.confidence,
        "probabilities": prediction.probabilities,
        "prediction_set": prediction.prediction_set,
        "abstained": prediction.abstained,
        "in_distribution": prediction.in_distribution,
    }


def as_text(path: Path, prediction: Prediction, finding: Finding) -> str:
    if finding.finding is None or finding.probability is None:
        return f"{path}: not recognised as an X-ray of a hand, leg, hip or shoulder; no finding."
    part = f" ({finding.body_part})" if finding.body_part else ""
    text = f"{path}: {finding.finding}{part}, probability of a fracture {finding.probability:.0%}"
    for mark in finding.marks[:1]:
        text += f", first mark {mark.width:.0f} x {mark.height:.0f} pixels at {mark.x:.0f} right, {mark.y:.0f} down"
    kinds = likely_kinds(prediction, finding)
    if not kinds:
        return text
    if is_kind_uncertain(prediction):
        return f"{text}; kind uncertain"
    return f"{text}; likely kinds: " + ", ".join(display_name(kind) for kind in kinds)


def likely_kinds(prediction: Prediction, finding: Finding) -> list[str]:
    """Returns the most likely kinds, three at most, where a fracture was seen or is in doubt."""
    if finding.finding not in ("fracture seen", "doubtful") or not prediction.in_distribution:
        return []
    return list(prediction.probabilities)[:MAX_KINDS]


def is_kind_uncertain(prediction: Prediction) -> bool:
    """Returns whether more kinds than can be listed are needed to hold the true one in 90% of cases."""
    return not prediction.in_distribution or len(prediction.prediction_set) > MAX_KINDS
