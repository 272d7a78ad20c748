"""The reviewed radiographs on which the finding can be recalibrated."""

import uuid
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.db.models import F, Max, Min

from classifier.radiographs.models import Radiograph
from classifier.reviews.groups import reviewed_groups
from classifier.reviews.models import Review, ReviewQuerySet
from ml.evaluate.finding_aims import MIN_GROUPS, MIN_XRAYS

SETTLED = (Review.Finding.FRACTURE, Review.Finding.NO_FRACTURE)
# Why reviewed radiographs are not counted. The first that applies is the reason.
REASONS = (
    "in the trash",
    "the owner belongs to no site",
    "the owner's site does not allow training",
    "the reviewers disagree",
    "not assessable",
)


@dataclass(frozen=True)
class ReviewedFinding:
    """A radiograph with the finding on which its reviewers agree.

    Attributes:
        radiograph: the radiograph.
        is_fractured: whether they see a fracture.
        boxes: (x, y, width, height) of the fractures that one of them marked, in pixels of the image.
        group: its group of radiographs of one patient or study.
    """

    radiograph: Radiograph
    is_fractured: bool
    boxes: list[tuple[float, float, float, float]]
    group: str


@dataclass(frozen=True)
class NumReviewed:
    """How many radiographs there are to recalibrate on.

    Attributes:
        num_fractured: radiographs with a fracture.
        num_unfractured: radiographs without one.
        num_groups: groups of radiographs of one patient or study.
        left_out: number of reviewed radiographs that are not counted, by reason. Each has one reason.
    """

    num_fractured: int
    num_unfractured: int
    num_groups: int
    left_out: dict[str, int]

    @property
    def num_left_out(self) -> int:
        return sum(self.left_out.values())

    @property
    def share_of_fractured(self) -> float | None:
        """Returns the share of radiographs with a fracture, or None if there are no radiographs."""
        total = self.num_fractured + self.num_unfractured
        return self.num_fractured / total if total else None

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Lists what is counted, with how many there are, are needed and are missing."""
        counted = (
            ("X-rays with a fracture", self.num_fractured, MIN_XRAYS),
            ("X-rays without a fracture", self.num_unfractured, MIN_XRAYS),
            ("groups", self.num_groups, MIN_GROUPS),
        )
        return [
            {"name": name, "number": number, "needed": needed, "missing": max(needed - number, 0)}
            for name, number, needed in counted
        ]

    @property
    def missing(self) -> list[str]:
        """Lists what is missing, such as "12 X-rays with a fracture"; empty if there is enough."""
        return [f"{row['missing']} {row['name']}" for row in self.rows if row["missing"]]


def count_reviewed_findings() -> NumReviewed:
    """Counts the radiographs that can be recalibrated on."""
    numbers = dict.fromkeys(SETTLED, 0)
    group_of, groups = reviewed_groups(), set()
    left_out = dict.fromkeys(REASONS, 0)
    by_radiograph = Review.objects.counted().order_by().values("radiograph")
    rows = by_radiograph.annotate(lowest=Min("finding"), highest=Max("finding")).values_list(
        "lowest",
        "highest",
        "radiograph_id",
        "radiograph__deleted_at",
        "radiograph__owner__site__allows_training",
    )
    for lowest, highest, radiograph_id, deleted_at, allows_training in rows.iterator():
        reason = _reason_to_leave_out(lowest, highest, deleted_at, allows_training)
        if reason:
            left_out[reason] += 1
            continue
        numbers[Review.Finding(lowest)] += 1
        groups.add(group_of[radiograph_id])
    return NumReviewed(
        numbers[Review.Finding.FRACTURE],
        numbers[Review.Finding.NO_FRACTURE],
        len(groups),
        {reason: number for reason, number in left_out.items() if number},
    )


def _reason_to_leave_out(lowest: str, highest: str, deleted_at: Any, allows_training: bool | None) -> str:
    """Returns why a reviewed radiograph is not counted; empty if it is. As _counted and _agreed filter."""
    reasons = dict(
        zip(
            REASONS,
            (
                deleted_at is not None,
                allows_training is None,
                not allows_training,
                lowest != highest,
                lowest not in SETTLED,
            ),
            strict=True,
        )
    )
    return next((reason for reason, applies in reasons.items() if applies), "")


def reviewed_findings() -> Iterator[ReviewedFinding]:
    """Yields the radiographs that can be recalibrated on, in the order of their ids."""
    findings: dict[uuid.UUID, str] = dict(_agreed().values_list("radiograph_id", "lowest"))
    boxes: dict[uuid.UUID, list[Any]] = defaultdict(list)
    for radiograph_id, drawn in _counted().exclude(boxes=[]).values_list("radiograph_id", "boxes"):
        boxes[radiograph_id] += [(box["x"], box["y"], box["width"], box["height"]) for box in drawn]
    group_of = reviewed_groups()
    for radiograph_id in sorted(findings):
        radiograph = Radiograph.objects.not_in_trash().filter(id=radiograph_id).first()
        if radiograph is not None:
            is_fractured = findings[radiograph_id] == Review.Finding.FRACTURE
            marked = boxes[radiograph_id] if is_fractured else []
            yield ReviewedFinding(radiograph, is_fractured, marked, group_of[radiograph_id])


def _counted() -> ReviewQuerySet:
    """Filters the latest reviews of radiographs that are not in the trash and whose owner's site allows training."""
    return Review.objects.counted().filter(
        radiograph__deleted_at=None, radiograph__owner__site__allows_training=True
    )


def _agreed() -> Any:
    """Groups the reviews by radiograph, where all of them say "fracture" or all of them "no fracture"."""
    by_radiograph = _counted().order_by().values("radiograph")
    found = by_radiograph.annotate(lowest=Min("finding"), highest=Max("finding"))
    return found.filter(lowest=F("highest"), lowest__in=SETTLED)
