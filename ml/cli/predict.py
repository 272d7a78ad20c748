"""Predict whether X-rays show a fracture, where and how probable it is, and the likely kinds of fracture.

The shipped model answers unless --bundle names another. A file that cannot be used gets its own line with the reason;
the exit code is 1 only if no file at all could be answered.
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
from ml.serve.answer import Answer, AnswerPredictor
from ml.serve.bundle import SHIPPED, BundleError, open_bundle

WARNING = "Not a diagnosis. The models cannot rule out a fracture."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("paths", type=Path, nargs="+", metavar="PATH", help="JPEG, PNG or DICOM files")
    parser.add_argument("--bundle", type=Path, default=SHIPPED, help="the model (default: the shipped one)")
    parser.add_argument("--engine", choices=("auto", "litert", "openvino"), default="auto")
    parser.add_argument("--jsonl", action="store_true", help="one JSON object a file on standard output")


def run(options: argparse.Namespace) -> int:
    try:
        bundle = open_bundle(options.bundle)
        with suppress_native_stderr():
            predictor = AnswerPredictor(bundle, options.engine)
    except BundleError as error:
        print(error, file=sys.stderr)
        return 1
    answered = 0
    for path in options.paths:
        try:
            answer = predictor.predict(read_image(path).pixels)
        except (ImageRefused, OSError) as error:
            reason = (
                str(error)
                if isinstance(error, ImageRefused)
                else f"The file cannot be read: {error.strerror}."
            )
            print(json.dumps({"file": str(path), "error": reason}) if options.jsonl else f"{path}: {reason}")
            continue
        answered += 1
        print(json.dumps(as_json(path, answer)) if options.jsonl else as_text(path, answer))
    if not options.jsonl:
        print(WARNING)
    return 0 if answered else 1


def as_json(path: Path, answer: Answer) -> dict[str, Any]:
    finding, kind = answer.finding, answer.kind
    return {
        "file": str(path),
        "finding": finding.finding if finding else None,
        "fracture_probability": finding.probability if finding else None,
        "calibrated": finding.calibrated if finding else None,
        "marks": [asdict(mark) for mark in finding.marks] if finding else [],
        "body_part": finding.body_part if finding else None,
        "kinds": [{"kind": name, "probability": kind.probabilities[name]} for name in answer.kinds],
        "kind_uncertain": answer.is_kind_uncertain,
        "class": kind.class_name,
        "confidence": kind.confidence,
        "probabilities": kind.probabilities,
        "prediction_set": kind.prediction_set,
        "abstained": kind.abstained,
        "in_distribution": kind.in_distribution,
    }


def as_text(path: Path, answer: Answer) -> str:
    finding = answer.finding
    if finding is None:
        text = f"{path}: no finding, because the model answers the kind of fracture only"
    elif finding.finding is None or finding.probability is None:
        return f"{path}: not recognized as an X-ray of a hand, leg, hip or shoulder; no finding."
    else:
        part = f" ({finding.body_part})" if finding.body_part else ""
        text = f"{path}: {finding.finding}{part}, probability of a fracture {finding.probability:.0%}"
        for mark in finding.marks[:1]:
            text += f", first mark {mark.width:.0f} x {mark.height:.0f} pixels at {mark.x:.0f} right, {mark.y:.0f} down"
    if not answer.kinds:
        return text
    if answer.is_kind_uncertain:
        return f"{text}; kind uncertain"
    return f"{text}; likely kinds: " + ", ".join(display_name(kind) for kind in answer.kinds)
