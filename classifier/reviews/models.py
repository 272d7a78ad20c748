"""Reviews by clinicians, and the consensus of several reviewers."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

from django.conf import settings
from django.db import models
from django.db.models import Exists, OuterRef

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

    def latest(self) -> Self:  # type: ignore[override]
        """Filters the reviews that count: the latest of each reviewer for each radiograph."""
        later = Review.objects.filter(
            radiograph=OuterRef("radiograph"), reviewer=OuterRef("reviewer"), id__gt=OuterRef("id")
        )
        return self.filter(~Exists(later))


class Review(models.Model):
    """A row is a clinician's finding on a radiograph, with the prediction that they saw.

    Append-only: a reviewer who changes their finding adds a review, and the latest one counts.
    """

    class Verdict(models.TextChoices):
        CLASS = "class", "this kind of fracture"
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
    verdict = models.CharField(max_length=20, choices=Verdict.choices)
    class_name = models.CharField(max_length=100, blank=True)
    comment = models.CharField(max_length=2000, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = ReviewQuerySet.as_manager()

    class Meta:
        indexes = [models.Index(fields=["radiograph", "reviewer", "-id"], name="review_latest")]

    def __str__(self) -> str:
        return f"{self.reviewer}: {self.finding}"

    @property
    def finding(self) -> str:
        """Returns the finding as text: the class, or the verdict if there is no class."""
        return self.class_name or self.get_verdict_display()

    @property
    def confirms(self) -> bool:
        """Returns whether the review agrees with the prediction."""
        return self.verdict == self.Verdict.CLASS and self.class_name == self.prediction.class_name


@dataclass(frozen=True)
class Consensus:
    """The latest reviews of one radiograph, and whether they agree."""

    reviews: list[Review]

    @property
    def is_disagreement(self) -> bool:
        """Returns whether the reviewers have different findings."""
        return len({review.finding for review in self.reviews}) > 1

    @property
    def agreed(self) -> Review | None:
        """Returns one of the reviews if all have the same finding, else None."""
        return None if self.is_disagreement or not self.reviews else self.reviews[0]

    @classmethod
    def by_radiograph(cls, latest: Iterable[Review]) -> "dict[Any, Consensus]":
        """Groups the latest reviews of any number of radiographs into a consensus per radiograph id."""
        reviews: dict[Any, list[Review]] = defaultdict(list)
        for review in latest:
            reviews[review.radiograph_id].append(review)
        return {radiograph_id: cls(group) for radiograph_id, group in reviews.items()}
