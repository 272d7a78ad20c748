"""Records reviews and adjudications."""

import math
from typing import Any

from django.db import transaction

from classifier.core.errors import CallusError, NotAllowedNow
from classifier.core.models import AuditEntry, User
from classifier.radiographs.models import Prediction, Radiograph
from classifier.reviews.classes import reviewable_classes
from classifier.reviews.models import Consensus, Review


class ReviewRefused(CallusError):
    """The review is not valid."""

    message = "This review is not valid and was not saved."


MAX_BOXES = 20
BOX_FIELDS = ("x", "y", "width", "height")


def record_review(
    *,
    reviewer: User,
    prediction: Prediction,
    finding: str,
    class_name: str = "",
    boxes: Any = None,
    comment: str = "",
) -> Review:
    """Saves a clinician's review of a radiograph in addition to their earlier reviews.

    Args:
        reviewer: who reviews.
        prediction: the prediction that they saw.
        finding: a value of Review.Finding.
        class_name: the kind of fracture; only with the finding "fracture".
        boxes: where the fracture is, a list as in Review.boxes; only with the finding "fracture".
        comment: free text.

    Raises:
        ReviewRefused, NotAllowedNow: with a message for the user.
    """
    _check_review(prediction, finding, class_name, boxes)
    with transaction.atomic():
        _lock_radiograph(prediction)
        reviews = Review.objects.filter(radiograph=prediction.radiograph_id)
        reviews.filter(reviewer=reviewer, is_adjudication=False).update(is_superseded=True)
        review = Review(reviewer=reviewer, prediction=prediction, finding=finding, class_name=class_name)
        _save(review, boxes, comment, action="reviewed")
    return review


def adjudicate(
    *,
    adjudicator: User,
    prediction: Prediction,
    finding: str,
    class_name: str = "",
    boxes: Any = None,
    comment: str = "",
) -> Review:
    """Decides a disagreement of the reviewers of a radiograph: from then on, only the decision counts.

    Args:
        adjudicator: who decides.
        prediction, finding, class_name, boxes, comment: as in record_review.

    Raises:
        ReviewRefused, NotAllowedNow: with a message for the user.
    """
    _check_review(prediction, finding, class_name, boxes)
    with transaction.atomic():
        _lock_radiograph(prediction)
        reviews = Review.objects.filter(radiograph=prediction.radiograph_id)
        decided = reviews.filter(is_adjudication=True)
        if not Consensus(list(reviews.counted())).is_disagreement and not decided.exists():
            raise NotAllowedNow("The reviewers do not disagree, so there is nothing to decide.")
        decided.update(is_superseded=True)
        decision = Review(
            reviewer=adjudicator,
            prediction=prediction,
            finding=finding,
            class_name=class_name,
            is_adjudication=True,
        )
        _save(decision, boxes, comment, action="adjudicated")
    return decision


def _check_review(prediction: Prediction, finding: str, class_name: str, boxes: Any) -> None:
    if prediction.state != Prediction.State.SUCCEEDED:
        raise NotAllowedNow("There is no answer to review yet.")
    if finding not in Review.Finding:
        raise ReviewRefused(
            f"The finding must be one of {', '.join(Review.Finding.values)}.", field="finding"
        )
    if finding != Review.Finding.FRACTURE and (class_name or boxes):
        raise ReviewRefused("A kind of fracture and boxes can only be given with the finding “fracture”.")
    if class_name and class_name not in reviewable_classes(prediction):
        raise ReviewRefused("Choose one of the kinds of fracture.")


def _lock_radiograph(prediction: Prediction) -> None:
    """Lets two reviewers at the same time wait for each other, so that each sees whether they disagree."""
    is_there = Radiograph.objects.not_in_trash().lock(prediction.radiograph_id)
    if not is_there or not Prediction.objects.filter(id=prediction.id).exists():
        raise NotAllowedNow("This X-ray has been deleted, so the review was not saved.")


def _save(review: Review, boxes: Any, comment: str, *, action: str) -> None:
    prediction = review.prediction
    review.radiograph = prediction.radiograph
    review.boxes = _checked_boxes(boxes or [], prediction.radiograph)
    review.comment = comment.strip()
    review.save(force_insert=True)
    _set_rank(review)
    AuditEntry.objects.record(
        actor=review.reviewer,
        action=action,
        about=prediction.radiograph,
        finding=review.summary,
        predicted=prediction.get_finding_display() or prediction.class_name,
        model_version=prediction.model_version.number,
    )


def _checked_boxes(boxes: Any, radiograph: Radiograph) -> list[dict[str, float]]:
    """Raises: ReviewRefused: a box is not a box, is smaller than a pixel, or does not lie within the image."""
    if not isinstance(boxes, list) or len(boxes) > MAX_BOXES:
        raise ReviewRefused(f"A review can have at most {MAX_BOXES} boxes.")
    return [_checked_box(box, radiograph) for box in boxes]


def _checked_box(box: Any, radiograph: Radiograph) -> dict[str, float]:
    values: list[Any] = [box.get(name) for name in BOX_FIELDS] if isinstance(box, dict) else []
    try:
        numbers = [float(value) for value in values if type(value) in (int, float)]
    except OverflowError:  # an integer of more than 308 digits
        numbers = []
    if len(numbers) != len(BOX_FIELDS) or not all(map(math.isfinite, numbers)):
        raise ReviewRefused("Each box needs the numbers x, y, width and height.")
    x, y, width, height = numbers
    is_inside = x >= 0 and y >= 0 and x + width <= radiograph.width and y + height <= radiograph.height
    if not is_inside or width < 1 or height < 1:
        raise ReviewRefused("Each box must be at least one pixel wide and high and lie within the image.")
    return {"x": x, "y": y, "width": width, "height": height}


def _set_rank(review: Review) -> None:
    """Removes a reviewed radiograph from the worklist, unless its reviewers disagree.

    The disagreement is about the radiograph, so its newest answer is listed, not the one that the review judged.
    """
    predictions = Prediction.objects.filter(radiograph=review.radiograph_id)
    consensus = Consensus(list(Review.objects.counted().filter(radiograph=review.radiograph_id)))
    predictions.filter(review_rank__isnull=False).update(review_rank=None)
    if consensus.is_disagreement:
        answered = predictions.filter(state=Prediction.State.SUCCEEDED).newest_first()
        newest = answered.values("id")[:1]
        predictions.filter(id__in=newest).update(review_rank=Prediction.ReviewRank.DISAGREEMENT)
