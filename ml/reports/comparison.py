"""A comparison of two models as plain text."""

from __future__ import annotations

from typing import Any

from ml.reports.evaluation import NAMES, interval


def comparison_text(facts: dict[str, Any]) -> str:
    """Returns verdict, differences, classes, and the images on which the two models disagree.

    Args:
        facts: what ml.evaluate.comparison.compare returns.
    """
    mcnemar = facts["mcnemar"]
    lines = [
        f"A {facts['a']['checksum'][:12]}, B {facts['b']['checksum'][:12]}: "
        f"{facts['n']} test images in {facts['groups']} groups",
        facts["sentence"],
        "",
        f"{'':28}{'A':>8}{'B':>8}  B - A with 95 % interval",
    ]
    for name, row in facts["differences"].items():
        lines.append(f"{NAMES[name]:28}{row['a']:8.3f}{row['b']:8.3f}  {interval(row)}")
    lines += [
        "",
        f"Only A right: {mcnemar['only_a_right']}, only B right: {mcnemar['only_b_right']}; "
        f"exact McNemar test p = {mcnemar['p_value']:.3g}",
        "",
        f"{'recall':28}{'A':>8}{'B':>8}  B - A with 95 % interval, images",
    ]
    for label, row in facts["per_class"].items():
        cells = f"{row['recall_a']:8.2f}{row['recall_b']:8.2f}  {interval(row['difference'], 2)}, {row['n']}"
        lines.append(f"{label:28}{cells}")
    lines += ["", f"They disagree on {len(facts['disagreements'])} images:"]
    for row in facts["disagreements"]:
        answers = ", ".join(
            f"{name.upper()} {row[name]['class']} {row[name]['confidence']:.2f}" for name in ("a", "b")
        )
        lines.append(f"  {row['path']}: {row['label']}; {answers}")
    return "\n".join(lines)
