"""The comparison of two models on the same test images."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ml.data.manifests import DatasetRefused, Manifest
from ml.evaluate import metrics
from ml.evaluate.answers import Answers
from ml.evaluate.evaluation import plain

Verdict = Literal["better", "worse", "no difference shown"]


def compare(first: Answers, second: Answers) -> dict[str, Any]:
    """Compares the answers of two models; differences are second minus first.

    Intervals are those of a paired bootstrap: each resample holds the same groups for both models.
    McNemar's test takes images as independent. The verdict depends on the 95 % intervals of two
    differences. It is "worse" if balanced accuracy is lower or negative log-likelihood higher beyond
    chance, because overconfident probabilities mislead even where the named classes are right; "better"
    if balanced accuracy is higher beyond chance and the verdict is not "worse".

    Args:
        first: the answers of model A.
        second: those of model B.

    Returns:
        JSON data; each difference is {"a", "b", "value", "low", "high", "n", "groups"}.

    Raises:
        DatasetRefused: the models have different classes, or the answers are not for the same images.
    """
    if set(first.classes) != set(second.classes):
        odd = sorted(set(first.classes) ^ set(second.classes))
        raise DatasetRefused(f"The two models have different classes: only one of them knows {odd[0]!r}.")
    if first.items != second.items:
        raise DatasetRefused("The two models did not answer for the same images.")
    right_first, right_second = first.predicted == first.labels, second.predicted == second.labels
    only_first, only_second = (
        int(np.sum(right_first & ~right_second)),
        int(np.sum(right_second & ~right_first)),
    )
    differences = _differences(first, second)
    verdict = _verdict(differences["balanced_accuracy"], differences["negative_log_likelihood"])
    return {
        "format": "callus-comparison",
        "version": 1,
        "a": {"checksum": first.checksum, "trained_on": first.num_trained_on},
        "b": {"checksum": second.checksum, "trained_on": second.num_trained_on},
        "manifest_checksum": Manifest.of(Path(), first.items).checksum(),
        "n": len(first.items),
        "groups": len(set(first.groups)),
        "verdict": verdict,
        "sentence": _sentence(verdict, differences, first, second),
        "differences": differences,
        "mcnemar": {
            "only_a_right": only_first,
            "only_b_right": only_second,
            "p_value": metrics.mcnemar_exact(only_first, only_second),
        },
        "per_class": _per_class(first, second),
        "disagreements": _disagreements(first, second),
    }


def _differences(first: Answers, second: Answers) -> dict[str, dict[str, Any]]:
    figures: dict[str, Callable[[Answers, NDArray[np.intp]], float]] = {
        "accuracy": lambda a, i: metrics.accuracy(a.labels[i], a.predicted[i]),
        "balanced_accuracy": lambda a, i: metrics.balanced_accuracy(a.labels[i], a.predicted[i]),
        "top_3_accuracy": lambda a, i: metrics.top_k_accuracy(a.labels[i], a.probabilities[i], 3),
        "negative_log_likelihood": lambda a, i: metrics.negative_log_likelihood(
            a.labels[i], a.probabilities[i]
        ),
    }
    everything = np.arange(len(first.items))
    found = {}
    for name, figure in figures.items():
        difference = metrics.estimate(lambda i, f=figure: f(second, i) - f(first, i), first.groups)  # type: ignore[misc]
        found[name] = {
            "a": figure(first, everything),
            "b": figure(second, everything),
            **plain(difference),
        }
    return found


def _verdict(balanced_accuracy: dict[str, Any], negative_log_likelihood: dict[str, Any]) -> Verdict:
    if balanced_accuracy["high"] < 0 or negative_log_likelihood["low"] > 0:
        return "worse"
    return "better" if balanced_accuracy["low"] > 0 else "no difference shown"


def _sentence(
    verdict: Verdict, differences: dict[str, dict[str, Any]], first: Answers, second: Answers
) -> str:
    figure = differences["balanced_accuracy"]
    numbers = f"{_in_numbers('balanced accuracy', figure)}; {figure['n']} images in {figure['groups']} groups"
    doubt = differences["negative_log_likelihood"]
    if doubt["low"] > 0:
        numbers += (
            f". Its confidences are worse beyond chance: {_in_numbers('negative log-likelihood', doubt)}"
        )
    text = {
        "better": f"B is better than A beyond chance: {numbers}.",
        "worse": f"B is worse than A beyond chance: {numbers}.",
        "no difference shown": f"No difference between A and B is shown: {numbers}.",
    }[verdict]
    for name, answers in (("A", first), ("B", second)):
        if answers.num_trained_on:
            text += f" But {name} was trained on {answers.num_trained_on} of these images, so its figures are too high."
    return text


def _in_numbers(name: str, figure: dict[str, Any]) -> str:
    return (
        f"{name} {figure['b']:.3f} against {figure['a']:.3f}, a difference of {figure['value']:+.3f} "
        f"(95 % interval {figure['low']:+.3f} to {figure['high']:+.3f})"
    )


def _per_class(first: Answers, second: Answers) -> dict[str, dict[str, Any]]:
    def recall(answers: Answers, i: NDArray[np.intp], label: str) -> float:
        place = answers.classes.index(label)
        of_class = answers.labels[i] == place
        return float(np.mean(answers.predicted[i][of_class] == place)) if of_class.any() else math.nan

    everything = np.arange(len(first.items))
    rows = {}
    for label in sorted({item.label for item in first.items}):
        difference = metrics.estimate(
            lambda i, name=label: recall(second, i, name) - recall(first, i, name),  # type: ignore[misc]
            first.groups,
        )
        rows[label] = {
            "n": sum(item.label == label for item in first.items),
            "recall_a": recall(first, everything, label),
            "recall_b": recall(second, everything, label),
            "difference": plain(difference),
        }
    return rows


def _disagreements(first: Answers, second: Answers) -> list[dict[str, Any]]:
    def answer(answers: Answers, index: int) -> dict[str, Any]:
        place = int(answers.predicted[index])
        return {
            "class": answers.classes[place],
            "confidence": round(float(answers.probabilities[index, place]), 4),
        }

    rows = []
    for index, item in enumerate(first.items):
        a, b = answer(first, index), answer(second, index)
        if a["class"] != b["class"]:
            rows.append({"path": item.path, "sha256": item.sha256, "label": item.label, "a": a, "b": b})
    return rows
