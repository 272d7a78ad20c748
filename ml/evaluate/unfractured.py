"""The answers of a model for X-rays without a fracture, for which none of its classes is right."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from ml.data.image_limits import ImageRefused
from ml.data.images import read_image
from ml.evaluate.metrics import share
from ml.progress import ProgressCallback, ProgressEvent, RemainingTime
from ml.serve.inference import Prediction, Predictor


def measure_unfractured(predictor: Predictor, folder: Path, on_progress: ProgressCallback) -> dict[str, Any]:
    """Returns what the model answers for the X-rays in a folder, as JSON data.

    Returns:
        n; named, the share for which a class is named, neither refused nor "unsure"; refused, the share
        that is out of distribution; confidence; and most_probable, the number of images of each class.

    Raises:
        ImageRefused: a file is not an image that can be read.
    """
    paths = sorted(path for path in folder.iterdir() if path.is_file())
    remaining = RemainingTime(len(paths))
    predictions: list[Prediction] = []
    for number, path in enumerate(paths, start=1):
        try:
            predictions += predictor.predict([read_image(path).pixels])
        except ImageRefused as error:
            raise ImageRefused(f"{path}: {error}") from error
        if number % 50 == 0 or number == len(paths):
            on_progress(
                ProgressEvent("unfractured", 1, 1, number, len(paths), {}, remaining.estimate(number))
            )
    named = sum(prediction.class_name is not None and not prediction.abstained for prediction in predictions)
    refused = sum(not prediction.in_distribution for prediction in predictions)
    quantiles = np.quantile([prediction.confidence for prediction in predictions], (0, 0.5, 1)).tolist()
    return {
        "n": len(predictions),
        "named": share(named, len(predictions)),
        "refused": share(refused, len(predictions)),
        "confidence": dict(zip(("lowest", "median", "highest"), quantiles, strict=True)),
        "most_probable": dict(Counter(prediction.class_name or "refused" for prediction in predictions)),
    }
