import logging
from datetime import datetime, timedelta
from functools import lru_cache
from uuid import UUID

from django.conf import settings
from django.core.files.storage import default_storage
from django.utils import timezone

from classifier.core import trace
from classifier.core.clock import database_now
from classifier.radiographs.models import Prediction, PredictionQuerySet
from classifier.registry import bundles
from classifier.registry.models import ModelVersion
from ml.data.image_limits import ImageRefused
from ml.data.images import encode_png, read_image
from ml.serve.bundle import BundleError
from ml.serve.inference import Prediction as Answer
from ml.serve.inference import Predictor

log = logging.getLogger(__name__)
RETRY_AFTER = timedelta(seconds=10)


def run_next_prediction() -> None:
    """Answer the prediction whose turn it is, or do nothing when none waits."""
    prediction = _waiting().claim_next(lease_until=_lease_until())
    if prediction is not None:
        _run(prediction)


def run_prediction(prediction_id: UUID) -> None:
    """Answer this prediction, or do nothing when it is answered, held by another worker, or gone."""
    prediction = _waiting().claim(prediction_id, lease_until=_lease_until())
    if prediction is not None:
        _run(prediction)


def _waiting() -> PredictionQuerySet:
    return Prediction.objects.select_related("radiograph")


def _lease_until() -> datetime:
    return database_now() + timedelta(seconds=settings.LEASE_SECONDS)


def _run(prediction: Prediction) -> None:
    with trace.follow(prediction.trace or trace.current.get()):
        try:
            answer = _answer(prediction)
        except (ImageRefused, FileNotFoundError):
            log.exception("Prediction %s: its image cannot be read", prediction.id)
            _fail(prediction, "The stored image cannot be read any more.")
        except BundleError:
            log.exception("Prediction %s: its model cannot be loaded", prediction.id)
            _fail(
                prediction,
                "The model for this answer cannot be loaded. Please tell the person who runs this portal.",
            )
        except Exception:
            log.exception("Prediction %s: attempt %s failed", prediction.id, prediction.attempts)
            _try_later(prediction)
        else:
            write_answer(prediction, answer)
            log.info("answered", extra={"prediction": prediction.id, "attempt": prediction.attempts})


@lru_cache(maxsize=2)
def predictor(version_id: int) -> Predictor:
    """Loaded once a process; two, so that a promotion in mid-queue does not load back and forth."""
    return Predictor(bundles.fetch(ModelVersion.objects.get(id=version_id)))


def _answer(prediction: Prediction) -> Answer:
    with default_storage.open(str(prediction.radiograph.image)) as file:
        pixels = read_image(file.read()).pixels
    return predictor(prediction.model_version_id).predict([pixels])[0]


def write_answer(prediction: Prediction, answer: Answer) -> None:
    saliency = None
    if answer.saliency is not None:
        saliency = encode_png((answer.saliency * 255).round().astype("uint8"))
    Prediction.objects.held_by(prediction).update(
        state=Prediction.State.SUCCEEDED,
        finished_at=timezone.now(),
        lease_until=None,
        class_name=answer.class_name or "",
        confidence=answer.confidence,
        probabilities=[{"class": name, "probability": p} for name, p in answer.probabilities.items()],
        prediction_set=answer.prediction_set,
        abstained=answer.abstained,
        in_distribution=answer.in_distribution,
        saliency=saliency,
        review_rank=_review_rank(prediction, answer),
    )


def _review_rank(prediction: Prediction, answer: Answer) -> Prediction.ReviewRank | None:
    """Where the answer stands on the worklist; what is reviewed already does not come back by itself."""
    if prediction.radiograph.reviews.exists():
        return None
    return Prediction.ReviewRank.UNSURE if answer.abstained else Prediction.ReviewRank.UNREVIEWED


def _fail(prediction: Prediction, reason: str) -> None:
    Prediction.objects.held_by(prediction).update(
        state=Prediction.State.FAILED, finished_at=timezone.now(), lease_until=None, error=reason
    )


def _try_later(prediction: Prediction) -> None:
    """Back to the queue; the sweep sends it again, or gives up after the last attempt."""
    later = database_now() + RETRY_AFTER
    Prediction.objects.held_by(prediction).update(lease_until=later, send_at=later)
