from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

from django.conf import settings
from django.db import models
from django.db.models import Exists, OuterRef

from classifier.radiographs.models import Prediction, Radiograph, may_see_all


class ReviewQuerySet(models.QuerySet["Review"]):
    def visible_to(self, user: Any) -> Self:
        """A reviewer sees all; an owner those of their own X-rays."""
        return (
            self.all()
            if may_see_all(user)
            else self.filter(radiograph__in=Radiograph.objects.visible_to(user))
        )

    def newest_first(self) -> Self:
        return self.order_by("-id")

    def latest(self) -> Self:  # type: ignore[override]
        """What counts: of each reviewer the last word on a radiograph."""
        later = Review.objects.filter(
            radiograph=OuterRef("radiograph"), reviewer=OuterRef("reviewer"), id__gt=OuterRef("id")
        )
        return self.filter(~Exists(later))


class Review(models.Model):
    """What a clinician says of a radiograph, and which prediction (so, which model version) they judged.

    Append-only: who changes their mind adds a review, and their latest counts.
    """

    class Verdict(models.TextChoices):
        CLASS = "class", "this kind of fracture"
        NO_FRACTURE = "no_fracture", "no fracture"
        NOT_ASSESSABLE = "not_assessable", "not assessable"

    # No index of its own: review_latest begins with it.
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
        """The verdict in words: the class, or that there is none."""
        return self.class_name or self.get_verdict_display()

    @property
    def confirms(self) -> bool:
        """Whether the reviewer says what the model said."""
        return self.verdict == self.Verdict.CLASS and self.class_name == self.prediction.class_name


@dataclass(frozen=True)
class Consensus:
    """What the latest reviews of one radiograph say together."""

    reviews: list[Review]

    @property
    def is_disagreement(self) -> bool:
        return len({review.finding for review in self.reviews}) > 1

    @property
    def agreed(self) -> Review | None:
        """One of the reviews, when all say the same."""
        return None if self.is_disagreement or not self.reviews else self.reviews[0]

    @classmethod
    def by_radiograph(cls, latest: Iterable[Review]) -> "dict[Any, Consensus]":
        """Of latest reviews, any number of radiographs: each radiograph's id and consensus."""
        reviews: dict[Any, list[Review]] = defaultdict(list)
        for review in latest:
            reviews[review.radiograph_id].append(review)
        return {radiograph_id: cls(said) for radiograph_id, said in reviews.items()}
