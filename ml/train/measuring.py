"""What a card says of a model: calibrated on held-out answers, measured on pictures it never learnt from.

Every figure comes with n and a 95 % interval; groups of images are resampled whole.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml.data import out_of_distribution_images
from ml.data.folds import grouped_folds
from ml.data.image_limits import ImageRefused
from ml.data.images import read_image
from ml.data.manifests import Item, Manifest
from ml.evaluate import metrics
from ml.progress import ProgressCallback, ProgressEvent, RemainingTime
from ml.serve.calibration import (
    choose_threshold,
    conformal_threshold,
    fit_temperature,
    prediction_sets,
    softmax,
)
from ml.serve.inference import Graph, Prediction, Predictor
from ml.serve.out_of_distribution import Distribution
from ml.serve.preprocessing import InputSpec, is_blank, preprocess, rescale
from ml.train.cross_validation import HeldOutPredictions, encode_labels

COVERAGE = 0.9
SELECTIVE_ACCURACY = 0.5
FOLDS = 5
# With fewer images a threshold or a quantile says nothing; the bundle then answers without.
MIN_IMAGES = 20
Pixels = NDArray[np.uint8]


def calibrate(held_out: HeldOutPredictions, seed: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns a card's calibration, and its figures on the held-out images.

    For the figures each image is calibrated by the images of other groups alone.
    """
    if len(held_out.labels) < MIN_IMAGES:
        return {"temperature": 1.0, "conformal_threshold": 0.0, "abstain_below": 0.0, "n": 0}, {}
    labels, groups = held_out.labels, held_out.groups
    temperature = fit_temperature(held_out.logits, labels)
    probabilities = softmax(held_out.logits, temperature)
    point = choose_threshold(probabilities, labels, SELECTIVE_ACCURACY, groups)
    calibration = {
        "temperature": temperature,
        "conformal_coverage": COVERAGE,
        "conformal_threshold": conformal_threshold(probabilities, labels, groups, COVERAGE),
        "abstain_below": point.threshold,
        "selective_accuracy": {
            "aim": SELECTIVE_ACCURACY,
            "reached": point.accuracy,
            "answered": point.coverage,
            "n": point.num_answered,
        },
        "n": len(labels),
        "groups": len(set(groups)),
    }
    return calibration, measure(*_calibrated_by_others(held_out, seed), labels, groups)


def measure(
    probabilities: NDArray[np.float64],
    sets: NDArray[np.bool_],
    labels: NDArray[np.int64],
    groups: Sequence[str],
) -> dict[str, Any]:
    """Returns the figures of calibrated answers.

    Args:
        probabilities, sets: (n, classes), of each class, and whether it is in the prediction set.
    """
    predicted = probabilities.argmax(axis=1)
    covered = sets[np.arange(len(labels)), labels]
    statistics: dict[str, Callable[[NDArray[np.intp]], float]] = {
        "accuracy": lambda i: metrics.accuracy(labels[i], predicted[i]),
        "balanced_accuracy": lambda i: metrics.balanced_accuracy(labels[i], predicted[i]),
        "top_3_accuracy": lambda i: metrics.top_k_accuracy(labels[i], probabilities[i], 3),
        "expected_calibration_error": lambda i: metrics.expected_calibration_error(
            labels[i], probabilities[i]
        ),
        "prediction_set_coverage": lambda i: float(covered[i].mean()),
        "prediction_set_size": lambda i: float(sets[i].sum(axis=1).mean()),
    }
    figures: dict[str, Any] = {"n": len(labels), "groups": len(set(groups))}
    for name, statistic in statistics.items():
        found = metrics.estimate(statistic, list(groups))
        figures[name] = {"value": found.value, "low": found.low, "high": found.high}
    return figures


def measure_test(predictor: Predictor, manifest: Manifest, tell: ProgressCallback) -> dict[str, Any]:
    """Returns the figures on the manifest's test part, as served."""
    items: list[Item] = manifest.subset("test")
    predictions = _answer(predictor, [manifest.file(item) for item in items], "measure", tell)
    probabilities = np.array(
        [[prediction.probabilities[name] for name in manifest.classes] for prediction in predictions]
    )
    sets = np.array(
        [[name in prediction.prediction_set for name in manifest.classes] for prediction in predictions]
    )
    groups = [item.group for item in items]
    refused = sum(not prediction.in_distribution for prediction in predictions)
    return {
        **measure(probabilities, sets, encode_labels(items, manifest.classes), groups),
        "refused": _share(refused, len(items)),
    }


def measure_whole_bones(predictor: Predictor, folder: Path, tell: ProgressCallback) -> dict[str, Any]:
    """Returns what the model says of X-rays of whole bones, for which no class of it is right.

    named: how often a fracture is named, that is neither refused nor "unsure".
    """
    paths = sorted(path for path in folder.iterdir() if path.is_file())
    predictions = _answer(predictor, paths, "whole bones", tell)
    named = [prediction for prediction in predictions if prediction.class_name and not prediction.abstained]
    refused = sum(not prediction.in_distribution for prediction in predictions)
    confidences = [prediction.confidence for prediction in predictions]
    return {
        "n": len(predictions),
        "named": _share(len(named), len(predictions)),
        "refused": _share(refused, len(predictions)),
        "confidence": dict(
            zip(("lowest", "median", "highest"), np.quantile(confidences, (0, 0.5, 1)).tolist(), strict=True)
        ),
        "most_probable": dict(Counter(prediction.class_name or "refused" for prediction in predictions)),
    }


def fit_distribution(
    graph: Graph,
    images: Pixels,
    folds: NDArray[np.int64],
    unseen: NDArray[np.bool_],
    spec: InputSpec,
    tell: ProgressCallback,
) -> tuple[Distribution, dict[str, Any]] | None:
    """Fits the in-distribution score to fitted X-rays, and measures it against pictures that are none.

    Args:
        images: uint8 (n, size, size, 1 or 3). folds, unseen: (n,), as in Distribution.fit.

    Returns:
        The score and its figures; None with too few images.
    """
    if unseen.sum() < MIN_IMAGES:
        return None
    remaining, features = RemainingTime(len(images)), []
    for number, image in enumerate(images, start=1):
        features.append(graph.run(rescale(image, spec))["features"])
        if number % 50 == 0 or number == len(images):
            tell(ProgressEvent("describe", 1, 1, number, len(images), {}, remaining.estimate(number)))
    fitted, scores = Distribution.fit(np.stack(features), folds, unseen)
    pictures = {
        **out_of_distribution_images.render_images(),
        "photograph": out_of_distribution_images.load_photographs(),
    }
    others = {kind: _scores(graph, fitted, found, spec) for kind, found in pictures.items()}
    together = np.concatenate(list(others.values()))
    figures = {
        "n": len(scores),
        "not_x_rays": {
            kind: _share(int(np.sum(found > fitted.threshold)), len(found)) for kind, found in others.items()
        },
        "refused": _share(int(np.sum(scores > fitted.threshold)), len(scores)),
        "auroc": _auroc(scores, together),
    }
    return fitted, figures


def _scores(
    graph: Graph, fitted: Distribution, pictures: Sequence[Pixels], spec: InputSpec
) -> NDArray[np.float64]:
    return np.array(
        [
            np.inf
            if is_blank(pixels)
            else fitted.score(graph.run(preprocess(pixels, spec))["features"][np.newaxis])[0]
            for pixels in pictures
        ]
    )


def _answer(
    predictor: Predictor, paths: Sequence[Path], phase: str, tell: ProgressCallback
) -> list[Prediction]:
    remaining, predictions = RemainingTime(len(paths)), []
    for number, path in enumerate(paths, start=1):
        try:
            predictions += predictor.predict([read_image(path).pixels])
        except ImageRefused as error:
            raise ImageRefused(f"{path}: {error}") from error
        if number % 50 == 0 or number == len(paths):
            tell(ProgressEvent(phase, 1, 1, number, len(paths), {}, remaining.estimate(number)))
    return predictions


def _calibrated_by_others(
    held_out: HeldOutPredictions, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    labels, groups = held_out.labels, np.array(held_out.groups)
    folds = grouped_folds(labels, held_out.groups, min(FOLDS, len(set(held_out.groups))), seed)
    probabilities = np.zeros(held_out.logits.shape)
    sets = np.zeros(held_out.logits.shape, bool)
    for fold in np.unique(folds):
        inside, outside = folds == fold, folds != fold
        temperature = fit_temperature(held_out.logits[outside], labels[outside])
        others = softmax(held_out.logits[outside], temperature)
        threshold = conformal_threshold(others, labels[outside], groups[outside], COVERAGE)
        probabilities[inside] = softmax(held_out.logits[inside], temperature)
        sets[inside] = prediction_sets(probabilities[inside], threshold)
    return probabilities, sets


def _auroc(low: NDArray[np.float64], high: NDArray[np.float64]) -> float:
    """Returns how often a value of `high` exceeds one of `low`; ties count half."""
    above = np.searchsorted(np.sort(low), high, side="left")
    not_below = np.searchsorted(np.sort(low), high, side="right")
    return float((above + not_below).mean() / 2 / len(low))


def _share(count: int, n: int) -> dict[str, Any]:
    low, high = metrics.wilson_interval(count, n)
    return {"value": count / n, "low": low, "high": high, "count": count, "n": n}
