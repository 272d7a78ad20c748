"""The promotion gate: what speaks against making a candidate the live model.

promotions.promote_version asks a second person to confirm the promotion of a candidate with an objection.
"""

from dataclasses import dataclass
from typing import Any

from django.utils.text import get_text_list

from classifier.registry.models import ModelVersion
from classifier.training.finding_figures import BeforeAndAfter
from classifier.training.models import Comparison, Recalibration
from ml.serve.bundle import FINDING

# Figures of a finding that must not become worse at all, and those that must not beyond chance, in words. The AUROC
# must not become worse by the margin of ml.evaluate.non_inferiority.
WORSE = {"calibration_error": "a larger calibration error", "missed": "more missed fractures"}
SIGNIFICANTLY_WORSE = {
    "false_alarms": "significantly more false alarms",
    "first_mark_in_a_box": "significantly fewer first marks in a box",
}


@dataclass(frozen=True)
class GateResult:
    """The result of the gate.

    Attributes:
        comparison: the newest comparison of the candidate with the live model.
        objection: why the candidate should not be promoted. If it is not empty, promoting requires a written reason and
            a second person.
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
    objections = (
        _objection_to_finding(candidate, live, comparison),
        _objection(candidate, live, comparison),
    )
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


def _objection_to_finding(candidate: ModelVersion, live: ModelVersion, comparison: Comparison | None) -> str:
    new, old = _finding(candidate), _finding(live)
    if new == old or old is None:
        return ""
    if new is None:
        return f"{candidate} does not say whether a bone is broken, as {live} does."
    recalibration = Recalibration.objects.between(new, old)
    if recalibration is not None:
        return _objection_to_calibration(candidate, live, recalibration)
    if comparison is not None and comparison.finding_figures:
        return _objection_to_retraining(candidate, live, comparison)
    reason = comparison.finding.get("error", "") if comparison is not None else ""
    return (
        f"The finding of {candidate} differs from that of {live}, and no recalibration leads from one to the other: "
        f"there are no figures that compare the two. {reason}"
    ).strip()


def _objection_to_retraining(candidate: ModelVersion, live: ModelVersion, comparison: Comparison) -> str:
    objections = _worse_figures(comparison.finding_figures, WORSE, SIGNIFICANTLY_WORSE)
    found = []
    judgement = comparison.finding_judgement
    if judgement is not None and not judgement.passes:
        found.append(f"Finding: {comparison.sentence_on(judgement)}")
    if objections:
        found.append(
            f"On {comparison.finding['n']} test X-rays, {candidate} has {get_text_list(objections, 'and')} than {live}."
        )
    if not comparison.finding["with_boxes"]:
        found.append("No test X-ray has boxes, so it is unknown whether the marks became worse.")
    return " ".join(found)


def _objection(candidate: ModelVersion, live: ModelVersion, comparison: Comparison | None) -> str:
    if comparison is None:
        return f"{candidate} has not been compared with the live model ({live}) on the same test images."
    if not comparison.is_finished:
        return f"The comparison of {candidate} with {live} is not finished."
    if comparison.state != Comparison.State.SUCCEEDED:
        return f"{candidate} could not be compared with {live}: {comparison.error}"
    judgement = comparison.kind_judgement
    if judgement is not None and not judgement.passes:
        return f"Kind of fracture: {comparison.sentence_on(judgement)}"
    if not comparison.is_origin_known and not hasattr(candidate, "training_run"):
        return f"It is unknown whether {candidate} was trained on the images that it was tested on."
    return ""


def _objection_to_calibration(
    candidate: ModelVersion, live: ModelVersion, recalibration: Recalibration
) -> str:
    worse = _worse_figures(recalibration.figures, WORSE, {})
    if not worse:
        return ""
    n = recalibration.result["n"]
    return f"On {n} reviewed X-rays, {candidate} has {get_text_list(worse, 'and')} than {live}."


def _worse_figures(
    figures: list[BeforeAndAfter], worse: dict[str, str], significantly_worse: dict[str, str]
) -> list[str]:
    """Returns what speaks against a finding, in words: figures that are worse, and others that are so beyond chance."""
    return [
        f"{text} ({row.after['value']:.3f} compared with {row.before['value']:.3f})"
        for row in figures
        if (text := worse.get(row.name) if row.is_worse else None)
        or (text := significantly_worse.get(row.name) if row.is_significantly_worse else None)
    ]
