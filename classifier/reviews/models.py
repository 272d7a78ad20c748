"""Reviews by clinicians, and the consensus of several reviewers."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

from django.conf import settings
from django.db import models
from django.db.models import Exists, OuterRef, Q

from classifier.radiographs.models import Prediction, Radiograph
from classifier.radiographs.visibility import can_view_all


class ReviewQuerySet(models.QuerySet["Review"]):
    """Selects reviews."""

    def visible_to(self, user: Any) -> Self:
        """Filters all reviews for a reviewer, and the reviews of their own X-rays for other users."""
        return (
            self.all()
            if can_view_all(user)
            else self.filter(radiograph__in=Radiograph.objects.visible_to(user))
        )

    def newest_first(self) -> Self:
        return self.order_by("-id")

    def counted(self) -> Self:
        """Filters the reviews that count: the adjudication of a radiograph, or else the latest of each reviewer."""
        adjudications = Review.objects.filter(
            radiograph=OuterRef("radiograph"), is_adjudication=True, is_superseded=False
        )
        standing = self.filter(is_superseded=False)
        return standing.filter(Q(is_adjudication=True) | ~Exists(adjudications))


class Review(models.Model):
    """A row is a clinician's finding on a radiograph, with the prediction that they saw.

    A reviewer who changes their finding adds a review, and the latest one counts. An adjudication decides for all
    reviewers, until the next adjudication.
    """

    class Finding(models.TextChoices):
        FRACTURE = "fracture", "fracture"
        NO_FRACTURE = "no_fracture", "no fracture"
        NOT_ASSESSABLE = "not_assessable", "not assessable"

    # db_index=False, because the index review_latest starts with this column.
    radiograph = models.ForeignKey(
        Radiograph, on_delete=models.CASCADE, related_name="reviews", db_index=False
    )
    prediction = models.ForeignKey(Prediction, on_delete=models.CASCADE, related_name="reviews")
    reviewer = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="reviews"
    )
    finding = models.CharField(max_length=20, choices=Finding.choices)
    # The kind of fracture; empty if the reviewer did not name one.
    class_name = models.CharField(max_length=100, blank=True)
    # [{"x": ..., "y": ..., "width": ..., "height": ...}] in pixels of the image
    boxes = models.JSONField(default=list)
    comment = models.CharField(max_length=2000, blank=True)
    # Whether it decides a disagreement.
    is_adjudication = models.BooleanField(default=False)
    # Whether the same reviewer reviewed the radiograph later, or a later adjudication decided it. Stored, because a
    # deleted account leaves reviews without a reviewer.
    is_superseded = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = ReviewQuerySet.as_manager()

    class Meta:
        permissions = [("adjudicate_review", "Can decide for all reviewers where they disagree")]
        constraints = [
            models.UniqueConstraint(
                fields=["radiograph"],
                condition=Q(is_adjudication=True, is_superseded=False),
                name="one_adjudication_counts",
            )
        ]
        indexes = [models.Index(fields=["radiograph", "reviewer", "-id"], name="review_latest")]

    def __str__(self) -> str:
        return f"{self.reviewer}: {self.summary}"

    @property
    def summary(self) -> str:
        """Returns the kind of fracture, or the finding if no kind is named."""
        return self.class_name or self.get_finding_display()

    @property
    def confirms(self) -> bool:
        """Returns whether the review agrees with the prediction: with its finding, and with its kind if both name one.

        A prediction without a finding can be confirmed by the kind only.
        """
        if not self._is_comparable:
            return False
        if not self.prediction.finding:
            return self._has_same_kind is True
        return self._has_same_finding and self._has_same_kind is not False

    @property
    def corrects(self) -> bool:
        """Returns whether the review contradicts the prediction: its finding, or its kind if both name one."""
        if not self._is_comparable:
            return False
        has_other_finding = bool(self.prediction.finding) and not self._has_same_finding
        return has_other_finding or self._has_same_kind is False

    @property
    def _is_comparable(self) -> bool:
        """Whether both the review and the prediction give an answer, which a doubtful prediction does not."""
        settled = self.prediction.finding != Prediction.Finding.DOUBTFUL and self.prediction.is_recognized
        return settled and self.finding != self.Finding.NOT_ASSESSABLE

    @property
    def _has_same_finding(self) -> bool:
        sees_fracture = self.prediction.finding == Prediction.Finding.FRACTURE_SEEN
        return sees_fracture == (self.finding == self.Finding.FRACTURE)

    @property
    def _has_same_kind(self) -> bool | None:
        """Whether the kind is among those that the prediction names; None if one of them does not name a kind."""
        prediction = self.prediction
        if not self.class_name or not prediction.class_name or prediction.is_kind_uncertain:
            return None
        return self.class_name in {prediction.class_name, *(kind["class"] for kind in prediction.kinds)}


@dataclass(frozen=True)
class Consensus:
    """The reviews of one radiograph that count, and whether they agree."""

    reviews: list[Review]

    @property
    def is_disagreement(self) -> bool:
        """Returns whether the reviewers have different findings, or name different kinds of fracture."""
        kinds = {review.class_name for review in self.reviews if review.class_name}
        return len({review.finding for review in self.reviews}) > 1 or len(kinds) > 1

    @property
    def agreed(self) -> Review | None:
        """Returns one of the reviews if they agree, and one that names the kind if there is one; else None."""
        if self.is_disagreement or not self.reviews:
            return None
        return next((review for review in self.reviews if review.class_name), self.reviews[0])

    @classmethod
    def by_radiograph(cls, counted: Iterable[Review]) -> "dict[Any, Consensus]":
        """Groups the counted reviews of any number of radiographs into a consensus per radiograph id."""
        reviews: dict[Any, list[Review]] = defaultdict(list)
        for review in counted:
            reviews[review.radiograph_id].append(review)
        return {radiograph_id: cls(group) for radiograph_id, group in reviews.items()}
