"""Recalibrates a bundle's finding on X-rays of the site where it is used, and measures it before and after."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any

from ml.data.findings import Xray, list_digests
from ml.evaluate.finding import figures
from ml.evaluate.finding_aims import MIN_GROUPS, MIN_XRAYS
from ml.evaluate.finding_calibration import answer, answer_cross_fitted, calibrate
from ml.evaluate.finding_comparison import differences
from ml.evaluate.finding_scores import ScoredXray, fit_mark_threshold, join_scores, predict_scores
from ml.progress import ProgressCallback, ProgressEvent
from ml.serve.bundle import (
    CALIBRATION_IMAGES,
    TRAINING_IMAGES,
    Bundle,
    BundleIncompatible,
    check_destination,
    combine_bundles,
    write_bundle,
)
from ml.serve.finding import FindingCalibration, FindingPredictor

SEED = 0
THRESHOLDS = ("not_seen_below", "not_seen_below_other_sources", "seen_from", "mark_from")


class RecalibrationRefused(Exception):
    """The X-rays are too few or unsuitable to recalibrate on; str(error) is one sentence for the user."""


def recalibrate(bundle: Bundle, xrays: Sequence[Xray], out: Path, on_progress: ProgressCallback) -> Bundle:
    """Fits the calibration and the thresholds of the finding to X-rays, and writes a bundle with the same networks.

    The figures before and after are in the card of the finding under "figures", "recalibrated".

    Args:
        bundle: A bundle of the finding, or one that contains it.
        xrays: X-rays with and without a fracture. Those that the network was trained on are left out.
        out: Folder of the new bundle.
        on_progress: Called with the progress.

    Raises:
        RecalibrationRefused: There are too few X-rays, or the network does not tell them apart.
        BundleIncompatible: The bundle does not answer the finding.
        FileExistsError: out exists and is not a bundle.
        ml.data.image_limits.ImageRefused: A file cannot be used.
    """
    finding = bundle.finding or bundle
    if finding.card.get("answers") != "finding":
        raise BundleIncompatible(f"{bundle.path} does not answer the finding, so it cannot be recalibrated.")
    check_destination(out)
    learned = finding.digests(TRAINING_IMAGES)
    unseen = [xray for xray in xrays if not {xray.sha256, xray.original_sha256} & learned]
    usable = [xray for xray in unseen if not xray.contradicted]
    _check_numbers(usable)
    predicted = [
        each
        for each in predict_scores(FindingPredictor(finding), usable, on_progress)
        if each.scores is not None
    ]
    left_out = {
        "trained_on": len(xrays) - len(unseen),
        "contradicted": len(unseen) - len(usable),
        "not_recognised": len(usable) - len(predicted),
    }
    _check_numbers([each.xray for each in predicted])
    on_progress(ProgressEvent("recalibrate", 1, 1, 0, 1))
    new = _recalibrated(finding, predicted, left_out)
    on_progress(ProgressEvent("recalibrate", 1, 1, 1, 1))
    if bundle.finding is None:
        return write_bundle(out, *new)
    with tempfile.TemporaryDirectory() as temporary:
        return combine_bundles(bundle, write_bundle(Path(temporary) / "finding", *new), out)


def _check_numbers(xrays: Sequence[Xray]) -> None:
    """Raises: RecalibrationRefused"""
    fractured = [xray for xray in xrays if xray.fractured]
    unfractured = [xray for xray in xrays if not xray.fractured]
    groups = {xray.group for xray in xrays}
    is_enough = min(len(fractured), len(unfractured)) >= MIN_XRAYS
    if not is_enough or len(groups) < MIN_GROUPS:
        raise RecalibrationRefused(
            f"There are too few X-rays to recalibrate on: {len(fractured)} with a fracture and {len(unfractured)} "
            f"without one, in {len(groups)} groups. At least {MIN_XRAYS} of each, in at least "
            f"{MIN_GROUPS} groups, are needed that the network was not trained on and that it "
            "recognizes as X-rays."
        )
    for kind, of_kind in (("with", fractured), ("without", unfractured)):
        # The figures after are cross-fitted by group, so each fold needs both kinds in the other folds.
        if len({xray.group for xray in of_kind}) < 2:
            raise RecalibrationRefused(
                f"All X-rays {kind} a fracture are in one group. They must come from at least two."
            )


def _recalibrated(
    finding: Bundle, predicted: Sequence[ScoredXray], left_out: dict[str, int]
) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Returns the files and the card of the recalibrated finding."""
    scored = join_scores(predicted)
    old = FindingCalibration.of(finding.card)
    new = calibrate(scored, fit_mark_threshold(predicted, old.mark_from), old)
    if not new["map_weight"] and not new["pooled_weight"]:
        raise RecalibrationRefused(
            "The scores of the network are not higher for the X-rays with a fracture than for those without one. "
            "Check the labels."
        )
    before, after = answer(scored, old), answer_cross_fitted(scored, SEED, old)
    known = finding.digests(CALIBRATION_IMAGES)
    measured = {
        "n": len(predicted),
        "fractured": int(scored.labels.sum()),
        "groups": len(set(scored.groups)),
        "left_out": left_out,
        # The figures before are too good if the old calibration was fitted to some of the same X-rays.
        "known_to_old_calibration": sum(
            bool({xray.sha256, xray.original_sha256} & known) for xray in scored.xrays
        ),
        "is_changed": _is_changed(old, FindingCalibration.of({"calibration": new})),
        "thresholds": {
            name: {"before": getattr(old, name), "after": new[name]} for name in THRESHOLDS if name in new
        },
        # How the lower threshold of other sources was set; None if the finding has none.
        "other_sources": {
            "n": int(scored.other_source.sum()),
            "fractured": int((scored.other_source & scored.labels).sum()),
            "refitted": new["other_sources_refitted"],
        }
        if "other_sources_refitted" in new
        else None,
        "before": figures(before),
        "after": figures(after),
        "differences": differences(before, after),
    }
    files = {**finding.files(), CALIBRATION_IMAGES: list_digests(scored.xrays)}
    card = {
        **finding.card,
        "calibration": new,
        "figures": {**finding.card.get("figures", {}), "recalibrated": measured},
    }
    return files, card


def _is_changed(old: FindingCalibration, new: FindingCalibration) -> bool:
    """Returns whether a weight or a threshold differs by more than rounding."""
    pairs = zip(astuple(old), astuple(new), strict=True)
    return any(
        (one is None) != (other is None) or (one is not None and not math.isclose(one, other, abs_tol=1e-6))
        for one, other in pairs
    )
