"""A queued prediction -> the answer of its model version."""

import logging
from dataclasses import asdict
from functools import lru_cache
from typing import Any

from django.core.files.storage import default_storage

from classifier.core import trace
from classifier.core.jobs import Refused, run_claimed
from classifier.core.leases import Lease
from classifier.radiographs.models import Prediction
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
    """Finish the prediction with the answer, in one UPDATE. Raises: LeaseLost."""
    rank, order = _place_on_worklist(prediction, answer)
    lease.finish(
        Prediction.State.SUCCEEDED,
        **_finding_fields(answer.finding),
        **_kind_fields(answer),
        review_rank=rank,
        review_order=order,
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


def _place_on_worklist(
    prediction: Prediction, answer: Answer
) -> tuple[Prediction.ReviewRank | None, float | None]:
    """Returns rank and order. A radiograph that is already reviewed does not return to the worklist."""
    if prediction.radiograph.reviews.exists():
        return None, None
    finding = answer.finding
    is_doubtful = answer.kind.abstained if finding is None else finding.finding == "doubtful"
    rank = Prediction.ReviewRank.DOUBTFUL if is_doubtful else Prediction.ReviewRank.UNREVIEWED
    if finding is None:
        return rank, answer.kind.confidence
    return rank, 1 - (finding.probability or 0)
