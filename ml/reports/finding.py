"""The evaluation of a finding as an HTML page."""

from __future__ import annotations

from typing import Any

from ml.reports import figures
from ml.reports.evaluation import interval
from ml.reports.page import escape, figure, page, table, tiles

METRICS = {
    "auroc": "AUROC",
    "sensitivity_at_90_specificity": "sensitivity at 90% specificity",
    "sensitivity_at_95_specificity": "sensitivity at 95% specificity",
    "fracture_seen_among_fractured": "“fracture seen” among fractured",
    "fracture_seen_among_unfractured": "“fracture seen” among unfractured",
    "no_fracture_seen_among_fractured": "“no fracture seen” among fractured (missed)",
    "no_fracture_seen_among_unfractured": "“no fracture seen” among unfractured",
    "fractured_among_fracture_seen": "fractured among “fracture seen”",
    "fractured_among_doubtful": "fractured among “doubtful”",
    "fractured_among_no_fracture_seen": "fractured among “no fracture seen”",
    "first_mark_in_a_box": "centre of the first mark in a box (fractured)",
    "calibration_error": "expected calibration error",
    "brier": "Brier score",
}
DISCLAIMER = "A finding is not a diagnosis, and it cannot rule out a fracture."


def finding_page(facts: dict[str, Any]) -> str:
    """Returns an evaluation as a self-contained HTML page.

    Args:
        facts: What `python -m ml evaluate-finding` writes: "bundle", "learned_from", "figures" and "curves".
    """
    found, curves = facts["figures"], facts["curves"]
    everything, trained_on = found["all"], facts["learned_from"]
    shown = [
        (f"{everything['auroc']['value']:.3f}", "AUROC"),
        (f"{everything['no_fracture_seen_among_fractured']['value']:.3f}", "missed fractures"),
        (f"{everything['fracture_seen_among_unfractured']['value']:.3f}", "false alarms"),
        (everything["n"], f"X-rays, {everything['fractured']} fractured"),
    ]
    warning = f"The model was trained on {trained_on} of these X-rays, so the metrics are too high."
    overall = [name for name in ("all", "without_hardware") if name in found]
    body_parts = [name for name in found if name not in overall]
    roc, reliability, decision = curves["roc"], curves["reliability"], curves["decision"]
    return page(
        f"Evaluation of the finding {facts['bundle'][:12]}",
        [
            tiles(shown),
            f'<p class="warning">{escape(warning)}</p>' if trained_on else "",
            f"<p>{escape(DISCLAIMER)}</p>",
            "<h2>Metrics</h2><p class='note'>95% confidence intervals by bootstrap of whole groups.</p>",
            _metrics_table(found, overall),
            _metrics_table(found, body_parts) if body_parts else "",
            "<h2>Curves</h2>",
            figure(
                figures.lines(
                    {
                        "model": (roc["false_positive_rate"], roc["sensitivity"]),
                        "chance": ([0, 1], [0, 1]),
                    },
                    ("1 - specificity", "sensitivity"),
                    (0, 1),
                ),
                "ROC curve of all X-rays",
            ),
            figure(
                figures.reliability(
                    {"": (reliability["probability"], reliability["fractured"], reliability["n"])},
                    ("probability of a fracture", "share of fractured X-rays"),
                ),
                "Calibration: the share of fractured X-rays by probability, in bins",
            ),
            figure(
                figures.lines(
                    {
                        "model": (decision["threshold"], decision["net_benefit"]),
                        "treat all": (decision["threshold"], decision["treat_all"]),
                        "treat none": (decision["threshold"], [0.0] * len(decision["threshold"])),
                    },
                    ("threshold probability", "net benefit"),
                    (-0.05, everything["fractured"] / everything["n"] + 0.05),
                ),
                "Decision curve: net benefit of acting on probabilities above a threshold",
            ),
        ],
    )


def _metrics_table(found: dict[str, Any], names: list[str]) -> str:
    parts = [found[name] for name in names]
    rows: list[list[object]] = [
        ["X-rays", *(part["n"] for part in parts)],
        ["fractured", *(part["fractured"] for part in parts)],
        ["not recognized", *(part["refused"] for part in parts)],
    ]
    rows += [[title, *(interval(part[name], 2) for part in parts)] for name, title in METRICS.items()]
    return table(["", *(name.replace("_", " ") for name in names)], rows)
