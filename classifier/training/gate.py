"""What stands between a candidate and being live."""

from dataclasses import dataclass

from classifier.registry.models import ModelVersion
from classifier.training.models import Comparison


@dataclass(frozen=True)
class Judgement:
    """The newest comparison of a candidate with the live model, and what speaks against promoting it.

    Without an objection it may be promoted; with one, only for a written reason.
    """

    comparison: Comparison | None
    objection: str


def judge(candidate: ModelVersion, live: ModelVersion | None) -> Judgement:
    if live is None:
        return Judgement(None, "")
    comparison = Comparison.objects.newest_of(candidate, live)
    return Judgement(comparison, _objection(candidate, live, comparison))


def _objection(candidate: ModelVersion, live: ModelVersion, comparison: Comparison | None) -> str:
    if comparison is None:
        return f"{candidate} was not measured on the same test images as {live}, which is live."
    if not comparison.is_finished:
        return f"The comparison of {candidate} with {live} is not finished."
    if comparison.state != Comparison.State.SUCCEEDED:
        return f"{candidate} could not be compared with {live}: {comparison.error}"
    if comparison.verdict == Comparison.Verdict.WORSE:
        return f"{candidate} is worse than {live} beyond chance, on {comparison.num_images} test images."
    if not comparison.is_origin_known and not hasattr(candidate, "training_run"):
        return f"Nobody can tell whether {candidate} learned from the images that it was tested on."
    return ""
