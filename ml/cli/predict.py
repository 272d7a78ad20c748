"""Answer X-rays with a model: the shipped one, or --bundle.

A file that cannot be used gets its own line with the reason; the exit code is 1 only if no file at
all could be answered.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from ml.classes import display_name
from ml.data.image_limits import ImageRefused
from ml.data.sandbox import read_image
from ml.native_stderr import suppress_native_stderr
from ml.serve.bundle import SHIPPED, BundleError, open_bundle
from ml.serve.inference import Prediction, Predictor

WARNING = "Not a diagnosis. The model tells kinds of fracture apart; it cannot say that a bone is whole."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("paths", type=Path, nargs="+", metavar="PATH", help="JPEG, PNG or DICOM files")
    parser.add_argument("--bundle", type=Path, default=SHIPPED)
    parser.add_argument("--engine", choices=("auto", "litert", "openvino"), default="auto")
    parser.add_argument("--jsonl", action="store_true", help="one JSON object a file on standard output")


def run(options: argparse.Namespace) -> int:
    try:
        bundle = open_bundle(options.bundle)
        with suppress_native_stderr():
            predictor = Predictor(bundle, options.engine)
    except BundleError as error:
        print(error, file=sys.stderr)
        return 1
    answered = 0
    for path in options.paths:
        try:
            prediction = predictor.predict([read_image(path).pixels])[0]
        except (ImageRefused, OSError) as error:
            reason = (
                str(error)
                if isinstance(error, ImageRefused)
                else f"The file cannot be read: {error.strerror}."
            )
            print(json.dumps({"file": str(path), "error": reason}) if options.jsonl else f"{path}: {reason}")
            continue
        answered += 1
        print(json.dumps(as_json(path, prediction)) if options.jsonl else as_text(path, prediction))
    if not options.jsonl:
        print(WARNING)
    return 0 if answered else 1


def as_json(path: Path, prediction: Prediction) -> dict[str, Any]:
    return {
        "file": str(path),
        "class": prediction.class_name,
        "confidence": prediction.confidence,
        "probabilities": prediction.probabilities,
        "prediction_set": prediction.prediction_set,
        "abstained": prediction.abstained,
        "in_distribution": prediction.in_distribution,
    }


def as_text(path: Path, prediction: Prediction) -> str:
    if prediction.class_name is None:
        return f"{path}: no bone X-ray that the model knows; no class is named."
    certainty = "unsure, " if prediction.abstained else ""
    others = ", ".join(display_name(name) for name in prediction.prediction_set)
    name = display_name(prediction.class_name)
    return f"{path}: {certainty}{name}, {prediction.confidence:.0%} (one of: {others})"
