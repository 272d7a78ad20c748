"""The comparison of two models on the same test images."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml.data.manifests import DatasetRefused, Manifest, shared_classes
from ml.evaluate import metrics
from ml.evaluate.answers import Answers
from ml.evaluate.evaluation import plain
from ml.evaluate.non_inferiority import KIND_MARGIN, MIN_GROUPS, MIN_IMAGES, Judgement, missing_images


def compare(first: Answers, second: Answers) -> dict[str, Any]:
    """Compares the answers of two models; differences are second minus first.

    Intervals are those of a paired bootstrap: each resample holds the same groups for both models.
    McNemar's test takes images as independent.

    Models with different classes are compared on the images of the classes that they share, with the
    probabilities of these classes, which are made to sum to 1.

    The verdict is on balanced accuracy and not on accuracy, because the classes are unequally frequent and
    each of them matters: a model could win accuracy by naming the frequent ones. The candidate passes only
    if the lower bound of the interval lies above minus KIND_MARGIN. It is called worse as well if its
    negative log-likelihood is higher beyond chance, because overconfident probabilities mislead even where
    the named classes are right.

    Args:
        first: the answers of model A.
        second: those of model B.

    Returns:
        JSON data; each difference is {"a", "b", "value", "low", "high", "n", "groups"}.

    Raises:
        DatasetRefused: the models share fewer than two classes or no image of these, or the answers are
            not for the same images.
    """
    classes = shared_classes(first.classes, second.classes)
    only_in = [sorted({*one.classes} - {*classes}) for one in (first, second)]
    first, second = first.restricted_to(classes), second.restricted_to(classes)
    if not first.items:
        raise DatasetRefused("The models cannot be compared: no test image shows a class that both know.")
    if first.items != second.items:
        raise DatasetRefused("The two models did not answer for the same images.")
    right_first, right_second = first.predicted == first.labels, second.predicted == second.labels
    only_first, only_second = (
        int(np.sum(right_first & ~right_second)),
        int(np.sum(right_second & ~right_first)),
    )
    differences = _differences(first, second)
    judgement = _judge(differences, classes, only_in)
    return {
        "format": "callus-comparison",
        "version": 2,
        "a": {"checksum": first.checksum, "trained_on": first.num_trained_on},
        "b": {"checksum": second.checksum, "trained_on": second.num_trained_on},
        "manifest_checksum": Manifest.of(Path(), first.items).checksum(),
        "n": len(first.items),
        "groups": len(set(first.groups)),
        "classes": classes,
        "judgement": judgement.to_json(),
        "sentence": judgement.sentence("A", "B") + _trained_on(first, second),
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


def _judge(differences: dict[str, dict[str, Any]], classes: list[str], only_in: list[list[str]]) -> Judgement:
    figure = differences["balanced_accuracy"]
    enough = {"images": (figure["n"], MIN_IMAGES), "groups": (figure["groups"], MIN_GROUPS)}
    return Judgement(
        figure="balanced accuracy",
        unit="test images",
        first=figure["a"],
        second=figure["b"],
        value=figure["value"],
        low=figure["low"],
        high=figure["high"],
        margin=KIND_MARGIN,
        chance=1 / len(classes),
        n=figure["n"],
        groups=figure["groups"],
        missing=missing_images(enough),
        has_worse_confidences=differences["negative_log_likelihood"]["low"] > 0,
        only_first=only_in[0],
        only_second=only_in[1],
    )


def _trained_on(first: Answers, second: Answers) -> str:
    return "".join(
        f" But {name} was trained on {answers.num_trained_on} of these images, so its figures are too high."
        for name, answers in (("A", first), ("B", second))
        if answers.num_trained_on
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
