"""Turns the metrics of a training run into charts and a table."""

from typing import Any

from classifier.core import charts

# By phase ("train", "fold 1", ...) and metric: [epoch, value] pairs.
Curves = dict[str, dict[str, list[list[float]]]]
TRAIN = "train"

KINDS = {
    "Loss": {"loss": ("Training", "first"), "val_loss": ("Validation", "second")},
    "Accuracy": {
        "accuracy": ("Training", "first"),
        "val_accuracy": ("Validation", "second"),
        "val_balanced_accuracy": ("Validation, balanced", "third"),
    },
}


def charts_of(curves: Curves) -> list[charts.Chart]:
    """Returns a chart of the losses and one of the accuracies.

    If several phases have the same metric, one curve is bold: that of the final training, or else that of the latest
    fold. The curves of the other cross-validation folds are thin.
    """
    found = []
    for title, metrics in KINDS.items():
        series = [each for metric, style in metrics.items() for each in _series(curves, metric, *style)]
        if series:
            y_range = (0.0, 1.0) if title == "Accuracy" else None
            found.append(charts.curves(title, "Epoch", sorted(series, key=_is_bold), y_range))
    return found


def _series(curves: Curves, metric: str, name: str, style: str) -> list[charts.Series]:
    phases = [phase for phase, found in curves.items() if metric in found]
    bold = TRAIN if TRAIN in phases else phases[-1] if phases else ""
    return [
        charts.Series(name, [(x, y) for x, y in curves[phase][metric]], style, is_quiet=phase != bold)
        for phase in phases
    ]


def _is_bold(series: charts.Series) -> bool:
    """Sort key that draws bold curves last, on top of the others."""
    return not series.is_quiet


def table_of(curves: Curves) -> dict[str, Any]:
    """Returns the names of the metrics, and a row for each epoch of each phase."""
    metrics = list(dict.fromkeys(metric for found in curves.values() for metric in found))
    rows: dict[tuple[str, float], dict[str, float]] = {}
    for phase, found in curves.items():
        for metric, points in found.items():
            for epoch, value in points:
                rows.setdefault((phase, epoch), {})[metric] = value
    return {
        "metrics": metrics,
        "rows": [
            {"phase": phase, "epoch": int(epoch), "values": [values.get(metric) for metric in metrics]}
            for (phase, epoch), values in rows.items()
        ],
    }
