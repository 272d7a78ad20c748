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
    created_at = models.DateTimeField(auto_now_add=True)

    objects = ReviewQuerySet.as_manager()

    class Meta:
        indexes = [models.Index(fields=["radiograph", "reviewer", "-id"], name="review_latest")]

    def __str__(self) -> str:
        return f"{self.reviewer}: {self.summary}"

    @property
    def summary(self) -> str:
        """Returns the kind of fracture, or the finding if no kind is named."""
        return self.class_name or self.get_finding_display()

    @property
    def confirms(self) -> bool:
        """Returns whether the review agrees with the finding of the prediction, and with its kind if it names one.

        A prediction without a finding is confirmed by its most probable kind.
        """
        prediction = self.prediction
        if prediction.finding:
            expected = {
                self.Finding.FRACTURE.value: Prediction.Finding.FRACTURE_SEEN.value,
                self.Finding.NO_FRACTURE.value: Prediction.Finding.NO_FRACTURE_SEEN.value,
            }
            if prediction.finding != expected.get(self.finding):
                return False
            return not self.class_name or self.class_name == prediction.class_name
        return bool(self.class_name) and self.class_name == prediction.class_name

    @property
    def corrects(self) -> bool:
        """Returns whether the review contradicts the prediction. There is nothing to contradict in a doubtful one."""
        unsettled = (Prediction.Finding.DOUBTFUL, Prediction.Finding.NOT_RECOGNIZED)
        has_answer = self.prediction.finding not in unsettled and self.prediction.is_recognized
        return has_answer and not self.confirms


@dataclass(frozen=True)
class Consensus:
    """The latest reviews of one radiograph, and whether they agree."""

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
    def by_radiograph(cls, latest: Iterable[Review]) -> "dict[Any, Consensus]":
        """Groups the latest reviews of any number of radiographs into a consensus per radiograph id."""
        reviews: dict[Any, list[Review]] = defaultdict(list)
        for review in latest:
            reviews[review.radiograph_id].append(review)
        return {radiograph_id: cls(group) for radiograph_id, group in reviews.items()}
