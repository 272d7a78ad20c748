"""Compares two findings on the same X-rays, which neither was trained or calibrated on."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml.data.findings import Xray
from ml.data.manifests import DatasetRefused
from ml.evaluate.finding import Answered, answer, auroc, calibration_error, figures
from ml.evaluate.finding_aims import MIN_XRAYS
from ml.evaluate.metrics import estimate
from ml.evaluate.non_inferiority import FINDING_MARGIN, MIN_GROUPS, Judgement, missing_images
from ml.progress import ProgressCallback
from ml.serve.bundle import CALIBRATION_IMAGES, TRAINING_IMAGES, Bundle
from ml.serve.finding import FindingPredictor


def compare_findings(
    before: Bundle, after: Bundle, xrays: Sequence[Xray], on_progress: ProgressCallback
) -> dict[str, Any]:
    """Returns the figures of two finding bundles on the same X-rays, and their paired differences, as JSON data.

    A group with an X-ray that one of them was trained or calibrated on is left out.

    Args:
        before: The bundle of the finding that is compared with.
        after: The bundle of the candidate.
        xrays: The X-rays.
        on_progress: Called with the progress.

    Raises:
        DatasetRefused: There is no fractured or no unfractured X-ray left.
        ml.data.image_limits.ImageRefused: A file cannot be used.
    """
    held_out = leave_out_known(
        xrays,
        *(
            bundle.digests(name)
            for bundle in (before, after)
            for name in (TRAINING_IMAGES, CALIBRATION_IMAGES)
        ),
    )
    fractured = sum(xray.fractured for xray in held_out)
    if not fractured or fractured == len(held_out):
        raise DatasetRefused(
            f"The findings cannot be compared: of {len(xrays)} test X-rays with a known finding, {fractured} with a "
            f"fracture and {len(held_out) - fractured} without one are new to both models."
        )
    first, second = (answer(FindingPredictor(bundle), held_out, on_progress) for bundle in (before, after))
    paired = differences(first, second)
    return {
        "n": len(held_out),
        "fractured": fractured,
        "with_boxes": sum(bool(xray.boxes) for xray in held_out),
        "groups": len({xray.group for xray in held_out}),
        "left_out": len(xrays) - len(held_out),
        "before": figures(first),
        "after": figures(second),
        "differences": paired,
        "judgement": judge(first, second, paired["auroc"]).to_json(),
    }


def judge(before: Answered, after: Answered, difference: Mapping[str, Any]) -> Judgement:
    """Returns whether a finding is worse than another by more than FINDING_MARGIN of AUROC.

    The AUROC does not depend on the thresholds, which can be set again without training.

    Args:
        before: The answers of the finding that is compared with.
        after: The answers of the candidate for the same X-rays.
        difference: Their paired difference in AUROC, with its interval.
    """
    scored = before.recognised & after.recognised
    labels = before.labels[scored]
    groups = len({xray.group for xray, is_scored in zip(before.xrays, scored, strict=True) if is_scored})
    first, second = (auroc(labels, answered.probabilities[scored]) for answered in (before, after))
    enough = {
        "X-rays with a fracture": (int(labels.sum()), MIN_XRAYS),
        "X-rays without a fracture": (int((~labels).sum()), MIN_XRAYS),
        "groups": (groups, MIN_GROUPS),
    }
    return Judgement(
        figure="AUROC",
        unit="test X-rays",
        first=None if math.isnan(first) else first,
        second=None if math.isnan(second) else second,
        value=difference["value"],
        low=difference["low"],
        high=difference["high"],
        margin=FINDING_MARGIN,
        chance=0.5,
        n=len(labels),
        groups=groups,
        missing=missing_images(enough),
    )


def leave_out_known(xrays: Sequence[Xray], *known: frozenset[str]) -> list[Xray]:
    """Returns the X-rays of groups without an X-ray that one of the sets of digests lists."""
    digests = frozenset[str]().union(*known)
    groups = {xray.group for xray in xrays if {xray.sha256, xray.original_sha256} & digests}
    return [xray for xray in xrays if xray.group not in groups]


def differences(before: Answered, after: Answered) -> dict[str, Mapping[str, Any]]:
    """Returns the paired differences of two answers for the same X-rays, after minus before, with their intervals.

    The AUROC and the calibration error are those of X-rays that both recognise. Estimates of no X-rays are None.
    """
    labels, groups = before.labels, np.array([xray.group for xray in before.xrays])
    scored = np.flatnonzero(before.recognised & after.recognised)
    fractured, unfractured = np.flatnonzero(labels), np.flatnonzero(~labels)
    boxed = np.flatnonzero([xray.fractured and bool(xray.boxes) for xray in before.xrays])

    def of_scores(statistic: Callable[[Any, Any], float]) -> Callable[[NDArray[np.intp]], float]:
        def difference(chosen: NDArray[np.intp]) -> float:
            one, other = (
                statistic(labels[scored][chosen], answered.probabilities[scored][chosen])
                for answered in (before, after)
            )
            return other - one

        return difference

    def of_shares(one: Any, other: Any, among: NDArray[np.intp]) -> Callable[[NDArray[np.intp]], float]:
        change = other.astype(float) - one
        return lambda chosen: float(change[among][chosen].mean())

    return {
        name: _estimate(statistic, groups[among])
        for name, statistic, among in (
            ("auroc", of_scores(auroc), scored),
            ("calibration_error", of_scores(calibration_error), scored),
            ("missed", of_shares(before.not_seen, after.not_seen, fractured), fractured),
            ("false_alarms", of_shares(before.seen, after.seen, unfractured), unfractured),
            ("first_mark_in_a_box", of_shares(before.hits, after.hits, boxed), boxed),
        )
    }


def _estimate(
    statistic: Callable[[NDArray[np.intp]], float], groups: NDArray[Any]
) -> dict[str, float | None]:
    if len(groups) == 0:
        return {"value": None, "low": None, "high": None}
    found = estimate(statistic, groups, resamples=1000)
    return {
        name: None if math.isnan(value) else value
        for name, value in (("value", found.value), ("low", found.low), ("high", found.high))
    }
