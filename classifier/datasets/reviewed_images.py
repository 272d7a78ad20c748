"""Which reviewed radiographs become training data, with which labels, and why the others do not."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

from classifier.radiographs.models import Radiograph
from classifier.reviews.groups import reviewed_groups
from classifier.reviews.models import Consensus, Review
from ml.data.finding_labels import FindingLabels
from ml.data.manifests import NO_KIND

PREFIX = "reviewed-"
USED = "used"
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
    # These two are known when the images have been read.
    CONFLICT = "copies_under_different_labels"
    UNREADABLE = "cannot_be_read"


@dataclass(frozen=True)
class ReviewedImage:
    """A radiograph with the finding on which its reviewers agree.

    Attributes:
        radiograph: the radiograph.
        label: the class on which they agree; NO_KIND without a fracture, without a class of the data set, or if they
            name different ones.
        finding: whether they see a fracture, and the boxes of all reviewers.
        group: its group of radiographs of one patient or study.
    """

    radiograph: Radiograph
    label: str
    finding: FindingLabels
    group: str

    @property
    def path(self) -> str:
        return f"{self.label}/{PREFIX}{self.radiograph.id}.png"


@dataclass(frozen=True)
class ReviewedImages:
    """The reviewed radiographs, sorted out.

    Attributes:
        images: those that are used.
        left_out: why the others are not used, by their id.
        counts: number of those that are used and left out, by reason.
    """

    images: list[ReviewedImage]
    left_out: dict[Any, LeftOut]
    counts: dict[str, int]


def radiograph_id_of(path: str) -> UUID:
    """Returns the id of the radiograph whose image has this path in a data set."""
    return UUID(path.rpartition("/")[2].removeprefix(PREFIX).removesuffix(".png"))


def is_reviewed_image(path: str) -> bool:
    """Whether this path in a data set is that of a reviewed radiograph."""
    return path.rpartition("/")[2].startswith(PREFIX)


def reviewed_images(classes: list[str]) -> ReviewedImages:
    """Returns the radiographs that a model may be trained on, and why others are not used.

    Used are those of owners whose site allows it, if the latest reviews of all reviewers have the same finding.
    """
    consensuses, left_out = _usable()
    group_of = reviewed_groups()
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
            label = _label(consensus, classes)
            images.append(ReviewedImage(radiograph, label, finding, group_of[radiograph.id]))
    return ReviewedImages(images, left_out, count_outcomes((image.label for image in images), left_out))


def count_outcomes(labels: Iterable[str], left_out: dict[Any, Any]) -> dict[str, int]:
    """Counts the radiographs that are used, with these labels, and those that are left out, by reason."""
    counts = Counter(WITHOUT_KIND if label == NO_KIND else USED for label in labels)
    reasons = Counter(str(reason) for reason in left_out.values())
    used = {name: counts[name] for name in (USED, WITHOUT_KIND) if counts[name] or name == USED}
    return used | {str(name): reasons[name] for name in LeftOut if reasons[name]}


def _usable() -> tuple[dict[Any, Consensus], dict[Any, LeftOut]]:
    counted = Review.objects.counted().only("radiograph_id", "finding", "class_name", "boxes")
    facts = counted.order_by().values_list(
        "radiograph_id", "radiograph__deleted_at", "radiograph__owner__site__allows_training"
    )
    not_allowed: dict[Any, LeftOut] = {}
    for radiograph_id, deleted_at, allows_training in facts.iterator():
        if deleted_at is not None:
            not_allowed[radiograph_id] = LeftOut.TRASH
        elif not allows_training:
            not_allowed[radiograph_id] = LeftOut.NO_SITE if allows_training is None else LeftOut.SITE
    usable: dict[Any, Consensus] = {}
    left_out: dict[Any, LeftOut] = {}
    for radiograph_id, consensus in Consensus.by_radiograph(counted.iterator()).items():
        reason = not_allowed.get(radiograph_id) or _reason_to_leave_out(consensus)
        if reason:
            left_out[radiograph_id] = reason
        else:
            usable[radiograph_id] = consensus
    return usable, left_out


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
