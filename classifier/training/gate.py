"""The promotion gate: what speaks against making a candidate the live model.

services.promote_version refuses a candidate with an objection unless a reason is given.
"""

from dataclasses import dataclass

from classifier.registry.models import ModelVersion
from classifier.training.models import Comparison, Recalibration


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
    return GateResult(comparison, _objection(candidate, live, comparison))


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
