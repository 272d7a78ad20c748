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


@dataclass(frozen=True)
class Limits:
    """How X-rays with the same finding turned out in the test of the model version.

    Attributes:
        body_part: the body part of the X-rays that are counted; "" if all are counted.
        is_recalibrated: whether the X-rays are reviewed ones of this portal, which the model was recalibrated on.
        num_tested: number of X-rays of this body part.
        num_fractured: number of them with a fracture.
        num_with_finding: number of them with this finding.
        num_right: number of those with a fracture, or without one if the finding is "no fracture seen".
        low: lower end of the 95% confidence interval of the share of num_right.
        high: upper end of it.
        never_tested_on: what the model version was never tested on; may be empty.
    """

    body_part: str
    is_recalibrated: bool
    num_tested: int
    num_fractured: int
    num_with_finding: int
    num_right: int
    low: float
    high: float
    never_tested_on: str


def limits_of(prediction: Prediction) -> Limits | None:
    """Returns the limits of the finding; None without a finding, or if its model version has no figures for it."""
    name = SHARES.get(Prediction.Finding(prediction.finding)) if prediction.finding else None
    card: dict[str, Any] = prediction.model_version.card.get("finding", {})
    measured: dict[str, Any] = card.get("figures", {})
    # The figures of the release belong to other thresholds than those of a recalibrated model.
    recalibrated = measured.get("recalibrated")
    tested: dict[str, Any] = recalibrated["after"] if recalibrated else measured.get("held_out", {})
    body_part = prediction.body_part if prediction.body_part in tested else ""
    figures = tested.get(body_part or "all", {})
    estimate = figures.get(name)
    if not estimate or estimate["value"] is None:
        return None
    value, low, high = estimate["value"], estimate["low"], estimate["high"]
    if prediction.finding == Prediction.Finding.NO_FRACTURE_SEEN:
        value, low, high = 1 - value, 1 - high, 1 - low
    return Limits(
        body_part=body_part,
        is_recalibrated=bool(recalibrated),
        num_tested=figures["n"],
        num_fractured=figures["fractured"],
        num_with_finding=estimate["n"],
        num_right=round(value * estimate["n"]),
        low=low,
        high=high,
        never_tested_on=card.get("origin", {}).get("never_tested_on", ""),
    )


@dataclass(frozen=True)
class KindLimits:
    """How often the true kind was among the three most probable ones, on fractured X-rays of other groups.

    Attributes:
        num_tested: number of X-rays.
        share: share of them whose true kind was among the three.
        low: lower end of the 95% confidence interval of the share.
        high: upper end of it.
    """

    num_tested: int
    share: float
    low: float
    high: float


def kind_limits_of(prediction: Prediction) -> KindLimits | None:
    """Returns the limits of the kind, from the cross-validation if there was one; None without figures."""
    figures: dict[str, Any] = prediction.model_version.card.get("figures", {})
    tested = figures.get("held_out") or figures.get("test") or {}
    estimate = tested.get("top_3_accuracy")
    if not estimate or estimate["value"] is None:
        return None
    return KindLimits(tested["n"], estimate["value"], estimate["low"], estimate["high"])
