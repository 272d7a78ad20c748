"""Records reviews."""

from django.db import transaction

from classifier.core.errors import CallusError, NotAllowedNow
from classifier.core.models import AuditEntry, User
from classifier.radiographs.models import Prediction
from classifier.reviews.classes import reviewable_classes
from classifier.reviews.models import Consensus, Review


class ReviewRefused(CallusError):
    """The review is not valid."""

    message = "This review is not valid and was not saved."


def record_review(
    *, reviewer: User, prediction: Prediction, verdict: str, class_name: str = "", comment: str = ""
) -> Review:
    """Saves a clinician's review of a radiograph in addition to their earlier reviews.

    Raises:
        ReviewRefused, NotAllowedNow: with a message for the user.
    """
    if prediction.state != Prediction.State.SUCCEEDED:
        raise NotAllowedNow("There is no answer to review yet.")
    if verdict not in Review.Verdict:
        raise ReviewRefused(f"The verdict must be one of {', '.join(Review.Verdict.values)}.")
    if verdict == Review.Verdict.CLASS and class_name not in reviewable_classes(prediction):
        raise ReviewRefused("Choose one of the classes.")
    if verdict != Review.Verdict.CLASS and class_name:
        raise ReviewRefused("A class can only be given with the verdict “this kind of fracture”.")
    with transaction.atomic():
        review = Review.objects.create(
            radiograph=prediction.radiograph,
            prediction=prediction,
            reviewer=reviewer,
            verdict=verdict,
            class_name=class_name,
            comment=comment.strip(),
        )
        _set_rank(review)
        AuditEntry.objects.record(
            actor=reviewer,
            action="reviewed",
            about=prediction.radiograph,
            finding=review.finding,
            predicted=prediction.class_name,
            model_version=prediction.model_version.number,
        )
    return review


def _set_rank(review: Review) -> None:
    """Removes a reviewed radiograph from the worklist, unless its reviewers disagree."""
    predictions = Prediction.objects.filter(radiograph=review.radiograph_id)
    consensus = Consensus(list(Review.objects.latest().filter(radiograph=review.radiograph_id)))
    predictions.filter(review_rank__isnull=False).update(review_rank=None)
    if consensus.is_disagreement:
        predictions.filter(id=review.prediction_id).update(review_rank=Prediction.ReviewRank.DISAGREEMENT)
