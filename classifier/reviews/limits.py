"""The limits that a result page shows beside an answer: how often such an answer was right in the test."""

from dataclasses import dataclass
from typing import Any

from classifier.radiographs.models import Prediction

# The share of fractured X-rays among those with the finding, by finding.
SHARES = {
    Prediction.Finding.FRACTURE_SEEN: "fractured_among_fracture_seen",
    Prediction.Finding.DOUBTFUL: "fractured_among_doubtful",
    Prediction.Finding.NO_FRACTURE_SEEN: "fractured_among_no_fracture_seen",
}


# The error to know of beside each finding: missed fractures, and false alarms.
ERRORS = {
    Prediction.Finding.FRACTURE_SEEN: "fracture_seen_among_unfractured",
    Prediction.Finding.NO_FRACTURE_SEEN: "no_fracture_seen_among_fractured",
}


@dataclass(frozen=True)
class Share:
    """A share of X-rays with its 95% confidence interval.

    Attributes:
        count: number of X-rays that are counted.
        n: number of X-rays that they are a share of.
        low: lower end of the interval.
        high: upper end of it.
    """

    count: int
    n: int
    low: float
    high: float

    @classmethod
    def of(cls, estimate: dict[str, Any] | None, *, of_others: bool = False) -> "Share | None":
        """Returns an estimate of a card, or the share of the others; None if it has no value or no interval."""
        if not estimate or None in (estimate["value"], estimate["low"], estimate["high"]):
            return None
        value, low, high = estimate["value"], estimate["low"], estimate["high"]
        if of_others:
            value, low, high = 1 - value, 1 - high, 1 - low
        return cls(round(value * estimate["n"]), estimate["n"], low, high)


@dataclass(frozen=True)
class Limits:
    """How X-rays with the same finding turned out in the test of the model version.

    Attributes:
        body_part: the body part of the X-rays that are counted; "" if all are counted.
        is_recalibrated: whether the X-rays are reviewed ones of this portal, which the model was recalibrated on.
        num_tested: number of X-rays of this body part.
        num_fractured: number of them with a fracture.
        right: share with a fracture among those with this finding, or without one if it is "no fracture seen".
        errors: missed share of the fractures, or the share of false alarms among the others; None if doubtful.
    """

    body_part: str
    is_recalibrated: bool
    num_tested: int
    num_fractured: int
    right: Share
    errors: Share | None


def limits_of(prediction: Prediction) -> Limits | None:
    """Returns the limits of the finding.

    None without a finding, if the probability is not calibrated for the image, or if the model version has no figures.
    """
    if not prediction.finding or prediction.calibrated is False:
        return None
    finding = Prediction.Finding(prediction.finding)
    card: dict[str, Any] = prediction.model_version.card.get("finding", {})
    measured: dict[str, Any] = card.get("figures", {})
    # The figures of the release belong to other thresholds than those of a recalibrated model.
    recalibrated = measured.get("recalibrated")
    tested: dict[str, Any] = recalibrated["after"] if recalibrated else measured.get("held_out", {})
    body_part = prediction.body_part if prediction.body_part in tested else ""
    figures = tested.get(body_part or "all", {})
    is_unfractured = finding == Prediction.Finding.NO_FRACTURE_SEEN
    right = Share.of(figures.get(SHARES.get(finding)), of_others=is_unfractured)
    if right is None:
        return None
    return Limits(
        body_part=body_part,
        is_recalibrated=bool(recalibrated),
        num_tested=figures["n"],
        num_fractured=figures["fractured"],
        right=right,
        errors=Share.of(figures.get(ERRORS.get(finding))),
    )


def never_tested_on(prediction: Prediction) -> str:
    """Returns what the finding of the model version was never tested on; "" without a finding, or if unknown."""
    if not prediction.finding or prediction.finding == Prediction.Finding.NOT_RECOGNIZED:
        return ""
    card: dict[str, Any] = prediction.model_version.card.get("finding", {})
    return str(card.get("origin", {}).get("never_tested_on", ""))


def missed_in_other_sources(prediction: Prediction) -> Share | None:
    """Returns how many fractures in X-rays of other sources were missed; None if the probability is calibrated."""
    if prediction.calibrated is not False:
        return None
    card: dict[str, Any] = prediction.model_version.card.get("finding", {})
    measured = card.get("figures", {}).get("fractures_of_other_sources")
    return Share.of({**measured["no_fracture_seen"], "n": measured["n"]}) if measured else None


def kind_limits_of(prediction: Prediction) -> Share | None:
    """Returns how often the true kind was among the three most probable ones, on fractured X-rays of other groups.

    The share comes from the cross-validation if there was one. None without figures.
    """
    figures: dict[str, Any] = prediction.model_version.card.get("figures", {})
    tested = figures.get("held_out") or figures.get("test") or {}
    estimate = tested.get("top_3_accuracy")
    return Share.of({**estimate, "n": tested["n"]}) if estimate else None
