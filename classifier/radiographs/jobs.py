"""A queued prediction -> the answer of its model version."""

import logging
from functools import lru_cache

from django.core.files.storage import default_storage

from classifier.core import trace
from classifier.core.jobs import Refused, run_claimed
from classifier.core.leases import Lease
from classifier.radiographs.models import Prediction
from classifier.registry import bundles
from classifier.registry.models import ModelVersion
from ml.data.image_limits import ImageRefused
from ml.data.images import encode_png, read_image
from ml.serve.bundle import BundleError
from ml.serve.inference import Prediction as Answer
from ml.serve.inference import Predictor

log = logging.getLogger(__name__)


def run_next_prediction() -> None:
    """Answer the prediction whose turn it is, or do nothing when none waits."""
    prediction = Prediction.objects.select_related("radiograph").claim_next()
    if prediction is not None:
        answer_claimed(prediction)


def answer_claimed(prediction: Prediction) -> None:
    with trace.follow(prediction.trace):
        run_claimed(prediction, lambda lease: write_answer(lease, prediction, _answer(prediction)))


@lru_cache(maxsize=2)
def predictor(version_id: int) -> Predictor:
    """Loaded once a process; two, so that a promotion in mid-queue does not load back and forth."""
    return Predictor(bundles.fetch(ModelVersion.objects.get(id=version_id)))


def _answer(prediction: Prediction) -> Answer:
    """Raises: Refused: the image or the model version cannot be read."""
    try:
        with default_storage.open(str(prediction.radiograph.image)) as file:
            pixels = read_image(file.read()).pixels
        return predictor(prediction.model_version_id).predict([pixels])[0]
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
    saliency = None
    if answer.saliency is not None:
        saliency = encode_png((answer.saliency * 255).round().astype("uint8"))
    lease.finish(
        Prediction.State.SUCCEEDED,
        class_name=answer.class_name or "",
        confidence=answer.confidence,
        probabilities=[{"class": name, "probability": p} for name, p in answer.probabilities.items()],
        prediction_set=answer.prediction_set,
        abstained=answer.abstained,
        in_distribution=answer.in_distribution,
        saliency=saliency,
        review_rank=_review_rank(prediction, answer),
    )
    log.info("answered", extra={"prediction": prediction.id, "attempt": prediction.attempts})


def _review_rank(prediction: Prediction, answer: Answer) -> Prediction.ReviewRank | None:
    """Where the answer stands on the worklist. A radiograph that is reviewed already does not return to it."""
    if prediction.radiograph.reviews.exists():
        return None
    return Prediction.ReviewRank.UNSURE if answer.abstained else Prediction.ReviewRank.UNREVIEWED
