"""The promotion gate: what speaks against making a candidate the live model.

services.promote_version refuses a candidate with an objection unless a reason is given.
"""

from dataclasses import dataclass
from typing import Any

from classifier.registry.models import ModelVersion
from classifier.training.models import Comparison, Recalibration
from ml.serve.bundle import FINDING


@dataclass(frozen=True)
class GateResult:
    """The result of the gate.

    Attributes:
        comparison: the newest comparison of the candidate with the live model.
        objection: why the candidate should not be promoted. If it is not empty, promoting requires a written reason.
        recalibration: the recalibration that made the candidate from the live model. Their networks are the same, so
            there is no comparison.
    """

    comparison: Comparison | None
    objection: str
    recalibration: Recalibration | None = None


def check(candidate: ModelVersion, live: ModelVersion | None) -> GateResult:
    """Returns the newest comparison of the candidate with the live model, and the objection to promoting it."""
    if live is None:
        return GateResult(None, "")
    recalibration = Recalibration.objects.newest_of(candidate, live)
    if recalibration is not None:
        return GateResult(None, _objection_to_calibration(candidate, live, recalibration), recalibration)
    comparison = Comparison.objects.newest_of(candidate, live)
    objections = (_objection_to_finding(candidate, live), _objection(candidate, live, comparison))
    return GateResult(comparison, " ".join(filter(None, objections)))


def parts_changed(candidate: ModelVersion, live: ModelVersion | None) -> str:
    """Returns which parts of the answer the candidate changes, in words; empty if none is live."""
    if live is None:
        return ""
    kinds = [{**version.card, FINDING: None} for version in (candidate, live)]
    changed = [
        name
        for name, is_changed in (
            ("the finding", _finding(candidate) != _finding(live)),
            ("the kind of fracture", kinds[0] != kinds[1]),
        )
        if is_changed
    ]
    return " and ".join(changed) or "nothing"


def _finding(version: ModelVersion) -> Any:
    """Returns the card of the version's finding, which has its calibration and its figures; None without a finding."""
    return version.card.get(FINDING)


def _objection_to_finding(candidate: ModelVersion, live: ModelVersion) -> str:
    new, old = _finding(candidate), _finding(live)
    if new == old or old is None:
        return ""
    if new is None:
        return f"{candidate} does not say whether a bone is broken, as {live} does."
    recalibration = Recalibration.objects.between(new, old)
    if recalibration is not None:
        return _objection_to_calibration(candidate, live, recalibration)
    return (
        f"The finding of {candidate} differs from that of {live}, and no recalibration leads from one to the other: "
        "there are no figures that compare the two."
    )


def _objection(candidate: ModelVersion, live: ModelVersion, comparison: Comparison | None) -> str:
    if comparison is None:
        return f"{candidate} has not been compared with the live model ({live}) on the same test images."
    if not comparison.is_finished:
        return f"The comparison of {candidate} with {live} is not finished."
    if comparison.state != Comparison.State.SUCCEEDED:
        return f"{candidate} could not be compared with {live}: {comparison.error}"
    if comparison.verdict == Comparison.Verdict.WORSE:
        return f"{candidate} is significantly worse than {live} on {comparison.num_images} test images."
    if not comparison.is_origin_known and not hasattr(candidate, "training_run"):
        return f"It is unknown whether {candidate} was trained on the images that it was tested on."
    return ""


def _objection_to_calibration(
    candidate: ModelVersion, live: ModelVersion, recalibration: Recalibration
) -> str:
    rows = {row.name: row for row in recalibration.figures}
    worse = []
    for name, text in (
        ("calibration_error", "a larger calibration error"),
        ("missed", "more missed fractures"),
    ):
        row = rows[name]
        if row.is_worse:
            worse.append(f"{text} ({row.after['value']:.3f} compared with {row.before['value']:.3f})")
    if not worse:
        return ""
    n = recalibration.result["n"]
    return f"On {n} reviewed X-rays, {candidate} has {' and '.join(worse)} than {live}."
