"""A queued prediction -> the answer of its model version."""

import logging
from dataclasses import asdict
from functools import lru_cache
from typing import Any

from django.core.files.storage import default_storage
from django.db import transaction

from classifier.core import trace
from classifier.core.jobs import Refused, run_claimed
from classifier.core.leases import Lease
from classifier.radiographs.models import Prediction, Radiograph
from classifier.registry import bundles
from classifier.registry.models import ModelVersion
from ml.data.image_limits import ImageRefused
from ml.data.images import read_image
from ml.serve.answer import Answer, AnswerPredictor
from ml.serve.bundle import BundleError
from ml.serve.finding import Finding

log = logging.getLogger(__name__)

FINDINGS = {
    "fracture seen": Prediction.Finding.FRACTURE_SEEN,
    "doubtful": Prediction.Finding.DOUBTFUL,
    "no fracture seen": Prediction.Finding.NO_FRACTURE_SEEN,
    None: Prediction.Finding.NOT_RECOGNIZED,
}


def run_next_prediction() -> None:
    """Answer the prediction whose turn it is, or do nothing when none waits."""
    prediction = Prediction.objects.select_related("radiograph").claim_next()
    if prediction is not None:
        answer_claimed(prediction)


def answer_claimed(prediction: Prediction) -> None:
    with trace.follow(prediction.trace):
        run_claimed(prediction, lambda lease: write_answer(lease, prediction, _answer(prediction)))


@lru_cache(maxsize=2)
def predictor(version_id: int) -> AnswerPredictor:
    """Loaded once a process; two, so that a promotion in mid-queue does not load back and forth."""
    return AnswerPredictor(bundles.fetch(ModelVersion.objects.get(id=version_id)))


def _answer(prediction: Prediction) -> Answer:
    """Raises: Refused: the image or the model version cannot be read."""
    try:
        with default_storage.open(str(prediction.radiograph.image)) as file:
            pixels = read_image(file.read()).pixels
        return predictor(prediction.model_version_id).predict(pixels)
    except (ImageRefused, FileNotFoundError) as error:
        log.exception("Prediction %s: its image cannot be read", prediction.id)
        raise Refused("The stored image can no longer be read. Upload the X-ray again.") from error
    except BundleError as error:
        log.exception("Prediction %s: its model cannot be loaded", prediction.id)
        raise Refused(
            "The model for this answer cannot be loaded. Contact the admin of this portal."
        ) from error


def write_answer(lease: Lease, prediction: Prediction, answer: Answer) -> None:
    """Finishes the prediction with the answer, which takes the place of earlier ones on the worklist.

    Raises: LeaseLost.
    """
    with transaction.atomic():
        # A review that is saved meanwhile changes the rank too.
        Radiograph.objects.lock(prediction.radiograph_id)
        lease.finish(
            Prediction.State.SUCCEEDED,
            **_finding_fields(answer.finding),
            **_kind_fields(answer),
            review_rank=_take_rank(prediction, answer),
            review_order=_review_order(answer),
        )
    log.info("answered", extra={"prediction": prediction.id, "attempt": prediction.attempts})


def _finding_fields(finding: Finding | None) -> dict[str, Any]:
    if finding is None:
        return {}
    return {
        "finding": FINDINGS[finding.finding],
        "fracture_probability": finding.probability,
        "calibrated": finding.calibrated if finding.recognised else None,
        "marks": [asdict(mark) for mark in finding.marks],
        "body_part": finding.body_part or "",
    }


def _kind_fields(answer: Answer) -> dict[str, Any]:
    """The kind is stored only where a fracture is seen or doubtful, so that no search or export finds it elsewhere."""
    kind = answer.kind
    if answer.finding is not None and not answer.names_kinds:
        return {"in_distribution": kind.in_distribution}
    return {
        "class_name": kind.class_name or "",
        "confidence": kind.confidence,
        "probabilities": [{"class": name, "probability": p} for name, p in kind.probabilities.items()],
        "prediction_set": kind.prediction_set,
        "abstained": kind.abstained,
        "in_distribution": kind.in_distribution,
    }


def _take_rank(prediction: Prediction, answer: Answer) -> Prediction.ReviewRank | None:
    """Returns the rank of a new answer, and removes the rank of earlier answers for the same radiograph.

    A radiograph that is already reviewed returns to the worklist only if its reviewers disagree. An answer that is
    not the newest one, because an older prediction was retried, gets no rank.
    """
    rank = Prediction.ReviewRank
    others = Prediction.objects.filter(radiograph=prediction.radiograph_id).exclude(id=prediction.id)
    # Only an answer can have been reviewed.
    answered = list(others.filter(state=Prediction.State.SUCCEEDED).only("id", "created_at", "review_rank"))
    if any((other.created_at, other.id) > (prediction.created_at, prediction.id) for other in answered):
        return None
    if answered:
        others.filter(review_rank__isnull=False).update(review_rank=None)
    if answered and prediction.radiograph.reviews.exists():
        is_disagreement = any(other.review_rank == rank.DISAGREEMENT for other in answered)
        return rank.DISAGREEMENT if is_disagreement else None
    is_doubtful = answer.kind.abstained if answer.finding is None else answer.finding.finding == "doubtful"
    return rank.DOUBTFUL if is_doubtful else rank.UNREVIEWED


def _review_order(answer: Answer) -> float:
    """Returns the order among answers of the same rank, lowest first: the most probable fractures come first."""
    return answer.kind.confidence if answer.finding is None else 1 - (answer.finding.probability or 0)
