"""Which reviewed radiographs become training data, with which label, and why the others do not."""

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from classifier.radiographs.models import Radiograph, upload_group
from classifier.reviews.models import Consensus, Review

PREFIX = "reviewed-"
# How a data set may call whole bones; reviews say "no fracture".
NO_FRACTURE_NAMES = {"no fracture", "no_fracture", "not fractured", "not_fractured", "unfractured", "normal"}


class LeftOut(StrEnum):
    TRASH = "in_the_trash"
    NO_SITE = "owner_has_no_site"
    SITE = "site_does_not_allow"
    DISAGREEMENT = "reviewers_disagree"
    NOT_ASSESSABLE = "not_assessable"
    NO_FRACTURE = "no_class_for_no_fracture"
    NO_KIND = "no_kind_of_fracture_named"
    OTHER_CLASS = "not_a_class_of_this_data_set"


@dataclass(frozen=True)
class ReviewedImage:
    """A radiograph with the label on which its reviewers agree."""

    radiograph: Radiograph
    label: str

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
    """The radiographs that may be learned from, and how many are used or left out, and why.

    Only those of owners whose site allows it, and only where the latest words of all reviewers are the same
    and name one of these classes.
    """
    labels, counts = _labels(classes)
    radiographs = Radiograph.objects.filter(reviews__isnull=False).distinct().order_by("id")
    images = [ReviewedImage(each, labels[each.id]) for each in radiographs.iterator() if each.id in labels]
    return images, counts


def count_reviewed_images(classes: list[str]) -> dict[str, int]:
    """How many reviewed radiographs are "used", and how many are left out, by reason, as in `reviewed_images`."""
    return _labels(classes)[1]


def _labels(classes: list[str]) -> tuple[dict[Any, str], dict[str, int]]:
    latest = Review.objects.latest().only("radiograph_id", "finding", "class_name")
    facts = latest.order_by().values_list(
        "radiograph_id", "radiograph__deleted_at", "radiograph__owner__site__allows_training"
    )
    not_allowed: dict[Any, LeftOut] = {}
    for radiograph_id, deleted_at, allows_training in facts.iterator():
        if deleted_at is not None:
            not_allowed[radiograph_id] = LeftOut.TRASH
        elif not allows_training:
            not_allowed[radiograph_id] = LeftOut.NO_SITE if allows_training is None else LeftOut.SITE
    labels: dict[Any, str] = {}
    counts: Counter[LeftOut] = Counter()
    for radiograph_id, consensus in Consensus.by_radiograph(latest.iterator()).items():
        label = not_allowed.get(radiograph_id) or _label(consensus, classes)
        if isinstance(label, LeftOut):
            counts[label] += 1
        else:
            labels[radiograph_id] = label
    return labels, {"used": len(labels), **{str(each): counts[each] for each in LeftOut if counts[each]}}


def _label(consensus: Consensus, classes: list[str]) -> str | LeftOut:
    agreed = consensus.agreed
    if agreed is None:
        return LeftOut.DISAGREEMENT
    if agreed.finding == Review.Finding.NOT_ASSESSABLE:
        return LeftOut.NOT_ASSESSABLE
    if agreed.finding == Review.Finding.NO_FRACTURE:
        whole = [name for name in classes if name.lower() in NO_FRACTURE_NAMES]
        return whole[0] if whole else LeftOut.NO_FRACTURE
    if not agreed.class_name:
        return LeftOut.NO_KIND
    return agreed.class_name if agreed.class_name in classes else LeftOut.OTHER_CLASS
