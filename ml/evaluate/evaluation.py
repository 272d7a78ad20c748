"""How a bundle does on the frozen test part of a manifest, through the same Predictor that serves."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml.data.image_limits import ImageRefused
from ml.data.images import read_image
from ml.data.manifests import DatasetRefused, Item, Manifest
from ml.evaluate import metrics
from ml.progress import ProgressCallback, ProgressEvent, RemainingTime
from ml.serve.bundle import TRAINING_IMAGES, Bundle
from ml.serve.calibration import accuracy_by_coverage, softmax
from ml.serve.inference import Predictor

# One line an image that the model learned from or was calibrated on: its SHA-256.
Statistic = Callable[[NDArray[np.intp]], float]


@dataclass(frozen=True, eq=False)
class Answers:
    """One bundle's answers for the test images of a manifest, n images and k classes.

    classes: of the bundle, in its order. labels: (n,) int, places in classes. probabilities: (n, k),
    calibrated. sets: (n, k) bool. abstained, in_distribution: (n,) bool. milliseconds: (n,), the
    time of each prediction without reading the file.
    """

    bundle: Bundle
    items: list[Item]
    classes: list[str]
    labels: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    sets: NDArray[np.bool_]
    abstained: NDArray[np.bool_]
    in_distribution: NDArray[np.bool_]
    milliseconds: NDArray[np.float64]

    @property
    def groups(self) -> list[str]:
        return [item.group for item in self.items]

    @property
    def predicted(self) -> NDArray[np.int64]:
        return np.asarray(self.probabilities.argmax(axis=1))

    @property
    def uncalibrated(self) -> NDArray[np.float64]:
        """The probabilities before temperature scaling, which can be undone: it divides logits."""
        temperature = float(self.bundle.card["calibration"]["temperature"])
        return softmax(np.log(np.maximum(self.probabilities, 1e-30)) * temperature)

    @property
    def num_trained_on(self) -> int | None:
        """How many of the test images the bundle was trained or calibrated on; None if it does not say."""
        path = self.bundle.file(TRAINING_IMAGES)
        if not path.exists():
            return None
        seen = set(path.read_text(encoding="ascii").split())
        return sum(item.sha256 in seen for item in self.items)


def answer_test_images(
    bundle: Bundle, manifest: Manifest, tell: ProgressCallback = lambda event: None
) -> Answers:
    """Predicts every test image of the manifest.

    Raises:
        DatasetRefused: there is no test image, the bundle does not know a class, or an image is not
            the one that the manifest lists.
    """
    items = manifest.subset("test")
    if not items:
        raise DatasetRefused("The manifest has no test images.")
    unknown = sorted({item.label for item in items} - set(bundle.classes))
    if unknown:
        raise DatasetRefused(
            f"The model does not know the class {unknown[0]!r}; it knows {', '.join(bundle.classes)}."
        )
    predictor = Predictor(bundle)
    place = {name: number for number, name in enumerate(bundle.classes)}
    remaining, predictions, milliseconds = RemainingTime(len(items)), [], []
    for number, item in enumerate(items, start=1):
        pixels = _read(manifest, item)
        if number == 1:
            # The first run of an engine sets things up and is no measure of the others.
            predictor.predict([pixels])
        started = time.perf_counter()
        predictions += predictor.predict([pixels])
        milliseconds.append(1000 * (time.perf_counter() - started))
        tell(ProgressEvent("evaluate", 1, 1, number, len(items), {}, remaining.estimate(number)))
    return Answers(
        bundle=bundle,
        items=items,
        classes=bundle.classes,
        labels=np.array([place[item.label] for item in items]),
        probabilities=np.array(
            [[prediction.probabilities[name] for name in bundle.classes] for prediction in predictions]
        ),
        sets=np.array([[name in p.prediction_set for name in bundle.classes] for p in predictions]),
        abstained=np.array([prediction.abstained for prediction in predictions]),
        in_distribution=np.array([prediction.in_distribution for prediction in predictions]),
        milliseconds=np.array(milliseconds),
    )


def _read(manifest: Manifest, item: Item) -> NDArray[np.uint8]:
    try:
        content = manifest.file(item).read_bytes()
        if hashlib.sha256(content).hexdigest() != item.sha256:
            raise DatasetRefused(f"{item.path} is not the image that the manifest lists: it has changed.")
        return read_image(content).pixels
    except OSError as error:
        raise DatasetRefused(f"{item.path} cannot be opened: {error.strerror}.") from error
    except ImageRefused as refusal:
        raise DatasetRefused(f"{item.path}: {refusal}") from refusal


def evaluate(answers: Answers) -> dict[str, Any]:
    """All figures of a bundle as plain data; each figure with its 95 % interval by group, and n."""
    labels, predicted, probabilities = answers.labels, answers.predicted, answers.probabilities
    card = answers.bundle.card
    counts = np.bincount(labels, minlength=len(answers.classes))
    coverage, accuracy = accuracy_by_coverage(probabilities, labels)
    return {
        "format": "callus-evaluation",
        "version": 1,
        "model": {"checksum": answers.bundle.checksum, "recipe": (card.get("recipe") or {}).get("name")},
        "manifest_checksum": Manifest.of(answers.bundle.path, answers.items).checksum(),
        "n": len(labels),
        "groups": len(set(answers.groups)),
        "trained_on": answers.num_trained_on,
        "classes": answers.classes,
        "always_the_largest_class": {
            "accuracy": float(counts.max() / counts.sum()),
            "balanced_accuracy": float(1 / np.count_nonzero(counts)),
        },
        "figures": {name: _estimate(answers, how) for name, how in _statistics(answers).items()},
        "calibration_error_by_chance": metrics.calibration_error_by_chance(probabilities),
        "per_class": _per_class(answers),
        "confusion_matrix": metrics.confusion_matrix(labels, predicted, len(answers.classes)).tolist(),
        "reliability": {
            "before": _bins(labels, answers.uncalibrated),
            "after": _bins(labels, probabilities),
        },
        "accuracy_by_coverage": {"coverage": coverage.tolist(), "accuracy": accuracy.tolist()},
        "unsure": _unsure(answers),
        "prediction_sets": {
            "promised_coverage": card["calibration"].get("conformal_coverage"),
            "sizes": np.bincount(answers.sets.sum(axis=1), minlength=len(answers.classes) + 1).tolist(),
        },
        "milliseconds": {
            "median": float(np.median(answers.milliseconds)),
            "95th_percentile": float(np.quantile(answers.milliseconds, 0.95)),
        },
        "history": card.get("training", {}).get("epochs", []),
        "images": _images(answers),
    }


def _statistics(answers: Answers) -> dict[str, Statistic]:
    labels, predicted, sets = answers.labels, answers.predicted, answers.sets
    after, before = answers.probabilities, answers.uncalibrated
    covered = sets[np.arange(len(labels)), labels]
    num_classes = len(answers.classes)
    return {
        "accuracy": lambda i: metrics.accuracy(labels[i], predicted[i]),
        "balanced_accuracy": lambda i: metrics.balanced_accuracy(labels[i], predicted[i]),
        "top_3_accuracy": lambda i: metrics.top_k_accuracy(labels[i], after[i], 3),
        "macro_f1": lambda i: float(
            np.nanmean(metrics.class_scores(labels[i], predicted[i], num_classes).f1)
        ),
        "negative_log_likelihood": lambda i: metrics.negative_log_likelihood(labels[i], after[i]),
        "brier_score": lambda i: metrics.brier_score(labels[i], after[i]),
        "calibration_error_before": lambda i: metrics.expected_calibration_error(labels[i], before[i]),
        "calibration_error": lambda i: metrics.expected_calibration_error(labels[i], after[i]),
        "prediction_set_coverage": lambda i: float(covered[i].mean()),
        "prediction_set_size": lambda i: float(sets[i].sum(axis=1).mean()),
        "refused_as_out_of_distribution": lambda i: float(1 - answers.in_distribution[i].mean()),
    }


def _estimate(answers: Answers, statistic: Statistic) -> dict[str, Any]:
    return plain(metrics.estimate(statistic, answers.groups))


def plain(estimate: metrics.Estimate) -> dict[str, Any]:
    """An estimate as JSON can hold it: what is not defined becomes None."""
    named = {"value": estimate.value, "low": estimate.low, "high": estimate.high}
    figures: dict[str, Any] = {name: None if math.isnan(value) else value for name, value in named.items()}
    return figures | {"n": estimate.n, "groups": estimate.num_groups}


def _per_class(answers: Answers) -> dict[str, dict[str, Any]]:
    labels, predicted, num_classes = answers.labels, answers.predicted, len(answers.classes)

    def score(name: str, place: int) -> Statistic:
        return lambda i: float(
            getattr(metrics.class_scores(labels[i], predicted[i], num_classes), name)[place]
        )

    return {
        label: {
            "n": int(np.sum(labels == place)),
            **{name: _estimate(answers, score(name, place)) for name in ("precision", "recall", "f1")},
        }
        for place, label in enumerate(answers.classes)
    }


def _bins(labels: NDArray[np.int64], probabilities: NDArray[np.float64]) -> list[dict[str, float]]:
    bins = metrics.reliability_bins(labels, probabilities)
    return [
        {
            "upper": float(bins.upper[place]),
            "count": int(bins.count[place]),
            "confidence": float(bins.confidence[place]),
            "accuracy": float(bins.accuracy[place]),
        }
        for place in np.flatnonzero(bins.count)
    ]


def _unsure(answers: Answers) -> dict[str, Any]:
    answered = ~answers.abstained
    correct = answers.predicted == answers.labels

    def accuracy_among_answered(i: NDArray[np.intp]) -> float:
        return float(correct[i][answered[i]].mean()) if answered[i].any() else math.nan

    return {
        "threshold": answers.bundle.card["calibration"].get("abstain_below"),
        "answered": _estimate(answers, lambda i: float(answered[i].mean())),
        "accuracy_among_answered": _estimate(answers, accuracy_among_answered),
        "num_answered": int(answered.sum()),
    }


def _images(answers: Answers) -> list[dict[str, Any]]:
    return [
        {
            "path": item.path,
            "label": item.label,
            "predicted": answers.classes[place],
            "confidence": round(float(row[place]), 4),
            "abstained": bool(abstained),
            "in_distribution": bool(known),
        }
        for item, place, row, abstained, known in zip(
            answers.items,
            answers.predicted,
            answers.probabilities,
            answers.abstained,
            answers.in_distribution,
            strict=True,
        )
    ]
