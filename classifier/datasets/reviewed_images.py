"""Which reviewed radiographs become training data, with which labels, and why the others do not."""

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from classifier.radiographs.models import Radiograph, upload_group
from classifier.reviews.models import Consensus, Review
from ml.data.finding_labels import FindingLabels
from ml.data.manifests import NO_KIND

PREFIX = "reviewed-"
# Reviewed radiographs without a kind of fracture, which only the finding learns from.
WITHOUT_KIND = "used_for_the_finding_only"
# How a data set may call unfractured bones; reviews say "no fracture".
NO_FRACTURE_NAMES = {"no fracture", "no_fracture", "not fractured", "not_fractured", "unfractured", "normal"}


class LeftOut(StrEnum):
    TRASH = "in_the_trash"
    NO_SITE = "owner_has_no_site"
    SITE = "site_does_not_allow"
    DISAGREEMENT = "reviewers_disagree"
    NOT_ASSESSABLE = "not_assessable"


@dataclass(frozen=True)
class ReviewedImage:
    """A radiograph with the finding on which its reviewers agree.

    Attributes:
        radiograph: the radiograph.
        label: the class on which they agree; NO_KIND without a fracture, without a class of the data set, or if they
            name different ones.
        finding: whether they see a fracture, and the boxes of all reviewers.
    """

    radiograph: Radiograph
    label: str
    finding: FindingLabels

    @property
    def path(self) -> str:
        return f"{self.label}/{PREFIX}{self.radiograph.id}.png"

    @property
    def group(self) -> str:
        return upload_group(self.radiograph.owner_id, self.radiograph.created_at)


def is_reviewed_image(path: str) -> bool:
    """Whether this path in a data set is that of a reviewed radiograph."""
    return path.rpartition("/")[2].startswith(PREFIX)


def reviewed_images(classes: list[str]) -> tuple[list[ReviewedImage], dict[str, int]]:
    """Lists the radiographs that a model may be trained on, and counts those that are used and left out, by reason.

    Used are those of owners whose site allows it, if the latest reviews of all reviewers have the same finding.
    """
    consensuses, counts = _usable(classes)
    images = []
    for radiograph in Radiograph.objects.filter(reviews__isnull=False).distinct().order_by("id").iterator():
        consensus = consensuses.get(radiograph.id)
        if consensus is not None:
            is_fractured = consensus.reviews[0].finding == Review.Finding.FRACTURE
            boxes = [box for review in consensus.reviews for box in review.boxes] if is_fractured else []
            # A network may have been trained on the file that was uploaded, of which the image is a copy.
            finding = FindingLabels(
                is_fractured,
                tuple((box["x"], box["y"], box["width"], box["height"]) for box in boxes),
                original_sha256=radiograph.sha256,
            )
            images.append(ReviewedImage(radiograph, _label(consensus, classes), finding))
    return images, counts


def count_reviewed_images(classes: list[str]) -> dict[str, int]:
    """Counts the reviewed radiographs that are used, and those that are left out, as `reviewed_images` does."""
    return _usable(classes)[1]


def _usable(classes: list[str]) -> tuple[dict[Any, Consensus], dict[str, int]]:
    latest = Review.objects.latest().only("radiograph_id", "finding", "class_name", "boxes")
    facts = latest.order_by().values_list(
        "radiograph_id", "radiograph__deleted_at", "radiograph__owner__site__allows_training"
    )
    not_allowed: dict[Any, LeftOut] = {}
    for radiograph_id, deleted_at, allows_training in facts.iterator():
        if deleted_at is not None:
            not_allowed[radiograph_id] = LeftOut.TRASH
        elif not allows_training:
            not_allowed[radiograph_id] = LeftOut.NO_SITE if allows_training is None else LeftOut.SITE
    usable: dict[Any, Consensus] = {}
    counts: Counter[str] = Counter({"used": 0})
    for radiograph_id, consensus in Consensus.by_radiograph(latest.iterator()).items():
        reason = not_allowed.get(radiograph_id) or _reason_to_leave_out(consensus)
        if reason:
            counts[reason] += 1
            continue
        usable[radiograph_id] = consensus
        counts[WITHOUT_KIND if _label(consensus, classes) == NO_KIND else "used"] += 1
    names = ["used", WITHOUT_KIND, *LeftOut]
    return usable, {str(name): counts[name] for name in names if counts[name] or name == "used"}


def _reason_to_leave_out(consensus: Consensus) -> LeftOut | None:
    findings = {review.finding for review in consensus.reviews}
    if len(findings) > 1:
        return LeftOut.DISAGREEMENT
    return LeftOut.NOT_ASSESSABLE if findings == {Review.Finding.NOT_ASSESSABLE} else None


def _label(consensus: Consensus, classes: list[str]) -> str:
    """Returns the class of a radiograph on whose finding the reviewers agree; NO_KIND if it has none."""
    agreed = consensus.agreed
    if agreed is None:
        return NO_KIND
    if agreed.finding == Review.Finding.NO_FRACTURE:
        return next((name for name in classes if name.lower() in NO_FRACTURE_NAMES), NO_KIND)
    return agreed.class_name if agreed.class_name in classes else NO_KIND
