"""All figures of a bundle's answers for test images, each with its interval."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix

from ml.data.manifests import Manifest
from ml.evaluate import metrics
from ml.evaluate.answers import Answers
from ml.serve.calibration import accuracy_by_coverage

# From indices of images, (m,) with repeats, to a figure; NaN where it is not defined.
Statistic = Callable[[NDArray[np.intp]], float]
Figures = dict[str, dict[str, Any]]


def evaluate(answers: Answers) -> dict[str, Any]:
    """Returns all figures of a bundle as JSON data: the content of report.json.

    Each figure is {"value", "low", "high", "n", "groups"}: the value, its 95 % interval by a bootstrap
    of groups, and the numbers of images and groups.
    """
    labels, predicted, probabilities = answers.labels, answers.predicted, answers.probabilities
    card = answers.card
    counts = np.bincount(labels, minlength=len(answers.classes))
    coverage, accuracy = accuracy_by_coverage(probabilities, labels)
    return {
        "format": "callus-evaluation",
        "version": 1,
        "model": {"checksum": answers.checksum, "recipe": (card.get("recipe") or {}).get("name")},
        "manifest_checksum": Manifest.of(Path(), answers.items).checksum(),
        "n": len(labels),
        "groups": len(set(answers.groups)),
        "trained_on": answers.num_trained_on,
        "classes": answers.classes,
        "always_the_largest_class": {
            "accuracy": float(counts.max() / counts.sum()),
            "balanced_accuracy": float(1 / np.count_nonzero(counts)),
        },
        "figures": figures_of(answers),
        "calibration_error_by_chance": metrics.calibration_error_by_chance(probabilities),
        "per_class": _per_class(answers),
        "confusion_matrix": confusion_matrix(labels, predicted, labels=range(len(answers.classes))).tolist(),
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


def figures_of(answers: Answers) -> Figures:
    """Returns the figures of a bundle's answers by name: those of `measure`, and what needs the card."""
    labels, before = answers.labels, answers.uncalibrated
    return {
        **measure(labels, answers.probabilities, answers.sets, answers.groups),
        "calibration_error_before": _estimate(
            answers, lambda i: metrics.expected_calibration_error(labels[i], before[i])
        ),
        "refused_as_out_of_distribution": _estimate(
            answers, lambda i: float(1 - answers.in_distribution[i].mean())
        ),
    }


def measure(
    labels: NDArray[np.int64],
    probabilities: NDArray[np.float64],
    sets: NDArray[np.bool_],
    groups: Sequence[str],
) -> Figures:
    """Returns the figures of calibrated answers by name, each as in `evaluate`.

    Args:
        labels: (n,) int, each image's true class.
        probabilities: (n, classes) float, rows sum to 1.
        sets: (n, classes) bool, whether the class is in the prediction set.
        groups: (n,), images of one group are not independent of each other.
    """
    predicted = probabilities.argmax(axis=1)
    covered = sets[np.arange(len(labels)), labels]
    num_classes = probabilities.shape[1]
    statistics: dict[str, Statistic] = {
        "accuracy": lambda i: metrics.accuracy(labels[i], predicted[i]),
        "balanced_accuracy": lambda i: metrics.balanced_accuracy(labels[i], predicted[i]),
        "top_3_accuracy": lambda i: metrics.top_k_accuracy(labels[i], probabilities[i], 3),
        "macro_f1": lambda i: float(
            np.nanmean(metrics.class_scores(labels[i], predicted[i], num_classes).f1)
        ),
        "macro_auroc": lambda i: metrics.macro_auroc(labels[i], probabilities[i]),
        "negative_log_likelihood": lambda i: metrics.negative_log_likelihood(labels[i], probabilities[i]),
        "brier_score": lambda i: metrics.brier_score(labels[i], probabilities[i]),
        "calibration_error": lambda i: metrics.expected_calibration_error(labels[i], probabilities[i]),
        "prediction_set_coverage": lambda i: float(covered[i].mean()),
        "prediction_set_size": lambda i: float(sets[i].sum(axis=1).mean()),
    }
    estimates = metrics.estimate_each(
        lambda i: np.array([statistic(i) for statistic in statistics.values()]), groups
    )
    return {name: plain(estimate) for name, estimate in zip(statistics, estimates, strict=True)}


def _estimate(answers: Answers, statistic: Statistic) -> dict[str, Any]:
    return plain(metrics.estimate(statistic, answers.groups))


def plain(estimate: metrics.Estimate) -> dict[str, Any]:
    """Returns an estimate as JSON data; what is not defined is None."""
    named = {"value": estimate.value, "low": estimate.low, "high": estimate.high}
    figures: dict[str, Any] = {name: None if math.isnan(value) else value for name, value in named.items()}
    return figures | {"n": estimate.n, "groups": estimate.num_groups}


def _per_class(answers: Answers) -> dict[str, dict[str, Any]]:
    labels, predicted, num_classes = answers.labels, answers.predicted, len(answers.classes)
    names = ("precision", "recall", "f1")

    def scores(i: NDArray[np.intp]) -> NDArray[np.float64]:
        found = metrics.class_scores(labels[i], predicted[i], num_classes)
        return np.concatenate([found.precision, found.recall, found.f1])

    estimates = [plain(estimate) for estimate in metrics.estimate_each(scores, answers.groups)]
    return {
        label: {
            "n": int(np.sum(labels == place)),
            **{name: estimates[number * num_classes + place] for number, name in enumerate(names)},
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
        "threshold": answers.card["calibration"].get("abstain_below"),
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
