"""An evaluation as an HTML page and as plain text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ml.reports import figures
from ml.reports.page import escape, figure, page, table, tiles

NAMES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "top_3_accuracy": "top-3 accuracy",
    "macro_f1": "macro F1",
    "macro_auroc": "macro AUROC",
    "negative_log_likelihood": "negative log-likelihood",
    "brier_score": "Brier score",
    "calibration_error_before": "calibration error before temperature scaling",
    "calibration_error": "calibration error",
    "prediction_set_coverage": "coverage of the prediction sets",
    "prediction_set_size": "classes in a prediction set",
    "refused_as_out_of_distribution": "refused as not a bone X-ray",
}
CHANCE = "calibration error by chance alone"
DISCLAIMER = (
    "The model distinguishes kinds of fracture. It cannot rule out a fracture, and its answers are not a "
    "diagnosis."
)


def interval(estimate: dict[str, Any], digits: int = 3) -> str:
    """Returns a figure with its interval as text; a dash where it is not defined."""
    if estimate["value"] is None:
        return "–"
    value, low, high = (estimate[name] for name in ("value", "low", "high"))
    if low is None or high is None:
        return f"{value:.{digits}f}"
    return f"{value:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def evaluation_text(facts: dict[str, Any]) -> str:
    """Returns an evaluation as plain text.

    Args:
        facts: what ml.evaluate.evaluation.evaluate returns.
    """
    width = max(len(name) for name in (*facts["classes"], *NAMES.values())) + 2
    head = f"{'':{width}}{'precision':>24}{'recall':>24}{'F1':>24}{'images':>8}"
    lines = [
        f"{facts['n']} test images in {facts['groups']} groups; model {facts['model']['checksum'][:12]}",
        "95 % intervals by bootstrap of groups in brackets",
        "",
        head,
    ]
    for label, row in facts["per_class"].items():
        cells = "".join(f"{interval(row[name], 2):>24}" for name in ("precision", "recall", "f1"))
        lines.append(f"{label:{width}}{cells}{row['n']:>8}")
    lines.append("")
    for name, title in NAMES.items():
        lines.append(f"{title:{width}}{interval(facts['figures'][name]):>24}")
    largest = facts["always_the_largest_class"]
    lines += [
        f"{CHANCE:{width}}{facts['calibration_error_by_chance']:.3f}",
        f"{'always the largest class':{width}}{largest['accuracy']:.3f} accuracy, "
        f"{largest['balanced_accuracy']:.3f} balanced",
        f"{'time per image, median':{width}}{facts['milliseconds']['median']:.1f} ms",
        "",
        *([trained_on(facts)] if facts["trained_on"] else []),
        DISCLAIMER,
    ]
    return "\n".join(lines) + "\n"


def trained_on(facts: dict[str, Any]) -> str:
    """Returns the warning that the model was trained on test images."""
    return (
        f"This model was trained on {facts['trained_on']} of these {facts['n']} images, "
        "so its figures are too high."
    )


def evaluation_page(facts: dict[str, Any], name: str) -> str:
    """Returns an evaluation as a self-contained HTML page.

    Args:
        facts: what ml.evaluate.evaluation.evaluate returns.
        name: the name of the model in the heading.
    """
    found = facts["figures"]
    shown = [
        (f"{found['balanced_accuracy']['value']:.3f}", "balanced accuracy"),
        (f"{found['accuracy']['value']:.3f}", "accuracy"),
        (f"{found['top_3_accuracy']['value']:.3f}", "top-3 accuracy"),
        (f"{found['calibration_error']['value']:.3f}", "calibration error"),
        (facts["n"], f"test images in {facts['groups']} groups"),
        (f"{facts['milliseconds']['median']:.1f} ms", "per image, median"),
    ]
    warning = f'<p class="warning">{escape(trained_on(facts))}</p>' if facts["trained_on"] else ""
    return page(
        f"Evaluation of {name}",
        [
            tiles(shown),
            warning,
            f"<p>{escape(DISCLAIMER)}</p>",
            _figures_section(facts),
            _class_section(facts),
            _confidence_section(facts),
            _history_section(facts),
            f"<p class='note'>Model <code>{facts['model']['checksum']}</code>, test part of a manifest "
            f"<code>{facts['manifest_checksum']}</code>.</p>",
        ],
    )


def _figures_section(facts: dict[str, Any]) -> str:
    largest = facts["always_the_largest_class"]
    rows = [[NAMES[name], interval(estimate)] for name, estimate in facts["figures"].items()]
    place = [name for name, _ in rows].index(NAMES["calibration_error"])
    rows.insert(place + 1, [CHANCE, f"{facts['calibration_error_by_chance']:.3f}"])
    return (
        "<h2>Figures</h2>"
        "<p class='note'>Intervals hold 95 % of bootstrap samples of whole groups. Always naming the largest "
        f"class would give {largest['accuracy']:.3f} accuracy and {largest['balanced_accuracy']:.3f} balanced.</p>"
        + table(["", "with 95 % interval"], rows)
    )


def _class_section(facts: dict[str, Any]) -> str:
    scores = ("precision", "recall", "f1")
    rows = [
        [label, *(interval(row[name], 2) for name in scores), row["n"]]
        for label, row in facts["per_class"].items()
    ]
    recalls = [
        (row["recall"]["value"], row["recall"]["low"], row["recall"]["high"])
        for row in facts["per_class"].values()
        if row["n"]
    ]
    present = [label for label, row in facts["per_class"].items() if row["n"]]
    matrix = np.array(facts["confusion_matrix"])
    return (
        "<h2>Classes</h2>"
        + table(["class", "precision", "recall", "F1", "images"], rows)
        + figure(
            figures.bars_with_intervals(present, recalls, "recall"),
            "Recall of each class with 95 % intervals.",
        )
        + figure(
            figures.matrix(matrix, facts["classes"]), "Confusion matrix: numbers of images, shaded by row."
        )
    )


def _confidence_section(facts: dict[str, Any]) -> str:
    reliability = facts["reliability"]
    sides = {
        "before temperature scaling": _columns(reliability["before"]),
        "after": _columns(reliability["after"]),
    }
    curve = facts["accuracy_by_coverage"]
    unsure, sets = facts["unsure"], facts["prediction_sets"]
    text = (
        f"Below a confidence of {unsure['threshold']:.2f} the answer is “unsure”: "
        f"{interval(unsure['answered'], 2)} of the images are answered, {unsure['num_answered']} of them, and "
        f"{interval(unsure['accuracy_among_answered'], 2)} of those answers are right. Prediction sets hold the "
        f"true class for {interval(facts['figures']['prediction_set_coverage'], 2)} of the images "
        f"(promised: {sets['promised_coverage'] or '–'}) with "
        f"{interval(facts['figures']['prediction_set_size'], 1)} classes on average."
    )
    sizes = [(size, count) for size, count in enumerate(sets["sizes"]) if size]
    return (
        f"<h2>Confidence</h2><p>{escape(text)}</p>"
        + figure(figures.reliability(sides), "Accuracy against confidence; larger dots hold more images.")
        + figure(
            figures.lines(
                {"accuracy": (curve["coverage"], curve["accuracy"])},
                ("share of images answered, surest first", "accuracy among them"),
                (0, 1.02),
            ),
            "Accuracy when unsure answers are withheld.",
        )
        + table(["classes in the set", "images"], sizes, texts=0)
    )


def _columns(bins: list[dict[str, Any]]) -> tuple[list[float], list[float], list[int]]:
    return (
        [row["confidence"] for row in bins],
        [row["accuracy"] for row in bins],
        [row["count"] for row in bins],
    )


def _history_section(facts: dict[str, Any]) -> str:
    history = facts["history"]
    if not history:
        return ""
    epochs = list(range(1, len(history) + 1))

    def curves(names: dict[str, str]) -> dict[str, tuple[Sequence[float], Sequence[float]]]:
        return {
            title: (epochs, [row.get(name, float("nan")) for row in history])
            for name, title in names.items()
            if any(name in row for row in history)
        }

    losses = curves({"loss": "training", "val_loss": "validation"})
    rights = curves({"val_accuracy": "accuracy", "val_balanced_accuracy": "balanced accuracy"})
    parts = ["<h2>Training</h2>"]
    if losses:
        parts.append(figure(figures.lines(losses, ("epoch", "loss")), "Loss by epoch."))
    if rights:
        parts.append(
            figure(figures.lines(rights, ("epoch", "on validation images"), (0, 1)), "Accuracy by epoch.")
        )
    return "".join(parts)
