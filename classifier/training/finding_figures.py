"""The figures of a finding before and after a change of it, as ml writes them."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class BeforeAndAfter:
    """A figure of a finding before and after a change of it. Estimates have "value", "low" and "high".

    Attributes:
        name: name of the figure in the differences of a result.
        title: name of the figure on pages.
        before: estimate with the old finding.
        after: estimate with the new finding. That of a recalibration is cross-fitted by group.
        difference: estimate of the paired difference, after minus before.
        is_higher_better: whether a higher figure is better.
    """

    name: str
    title: str
    before: dict[str, Any]
    after: dict[str, Any]
    difference: dict[str, Any]
    is_higher_better: bool = False

    @property
    def is_worse(self) -> bool:
        """Returns whether the figure is worse after, at the precision that pages show."""
        if self.before["value"] is None or self.after["value"] is None:
            return False
        before, after = round(self.before["value"], 3), round(self.after["value"], 3)
        return bool(after < before if self.is_higher_better else after > before)

    @property
    def is_significantly_worse(self) -> bool:
        """Returns whether the 95% interval of the difference is on the worse side of 0."""
        low, high = self.difference["low"], self.difference["high"]
        if low is None or high is None:
            return False
        return bool(high < 0 if self.is_higher_better else low > 0)


# Figures of a finding: name in the differences, title on pages, name in the figures, whether higher is better.
FINDING_FIGURES = (
    ("auroc", "AUROC", "auroc", True),
    ("calibration_error", "Calibration error", "calibration_error", False),
    ("missed", "Missed fractures", "no_fracture_seen_among_fractured", False),
    ("false_alarms", "False alarms", "fracture_seen_among_unfractured", False),
    ("first_mark_in_a_box", "First mark in a box", "first_mark_in_a_box", True),
)


def before_and_after(result: dict[str, Any], *names: str) -> list[BeforeAndAfter]:
    """Lists these figures of a result of ml, with "before", "after" and "differences"; empty without one."""
    if "differences" not in result:
        return []
    before, after = result["before"]["all"], result["after"]["all"]
    return [
        BeforeAndAfter(name, title, before[key], after[key], result["differences"][name], is_higher_better)
        for name, title, key, is_higher_better in FINDING_FIGURES
        if name in names
    ]
