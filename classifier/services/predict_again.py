from collections.abc import Iterable
from typing import Any

from django.db import transaction

from classifier import tasks, trace
from classifier.errors import CallusError, ModelUnavailable, NotAllowedNow
from classifier.models import AuditEntry, ModelVersion, Prediction, PredictionBatch, Radiograph, User
from classifier.models.prediction import BACKGROUND
from classifier.models.queued_work import first_sweep

MOST_AT_ONCE = 10_000
# Enough to wake the workers at once; the sweep sends the others.
SENT_AT_ONCE = 10


class SelectionRefused(CallusError):
    sentence = f"Please select between 1 and {MOST_AT_ONCE:,} X-rays."


def predict_again(*, user: User, radiographs: Iterable[Radiograph]) -> PredictionBatch:
    """Ask the live model about radiographs; its answers stand beside the earlier ones.

    Those that it answered before stay as they are, and those on which it failed are tried again.

    Raises:
        SelectionRefused, NotAllowedNow, ModelUnavailable: with a sentence for the person.
    """
    chosen = {radiograph.id: radiograph.owner_id for radiograph in radiographs}
    live = ModelVersion.objects.live()
    if live is None:
        raise ModelUnavailable()
    if not 0 < len(chosen) <= MOST_AT_ONCE:
        raise SelectionRefused()
    with transaction.atomic():
        known = Prediction.objects.filter(model_version=live, radiograph__in=chosen)
        failed = set(known.filter(state=Prediction.State.FAILED).values_list("radiograph_id", flat=True))
        asked = set(known.values_list("radiograph_id", flat=True)) - failed
        todo = {radiograph_id: owner for radiograph_id, owner in chosen.items() if radiograph_id not in asked}
        if not todo:
            raise NotAllowedNow(f"{live}, which is live, was asked about all of these already.")
        batch = PredictionBatch.objects.create(
            model_version=live, created_by=user, num_known=len(chosen) - len(todo)
        )
        # A failed one is made anew: nobody reviewed it.
        known.filter(radiograph__in=failed).delete()
        predictions = _make(todo, live, batch)
        earlier = Prediction.objects.filter(radiograph__in=todo, review_rank__isnull=False)
        earlier.exclude(review_rank=Prediction.ReviewRank.DISAGREEMENT).update(review_rank=None)
        AuditEntry.objects.record(
            actor=user, action="predicted again", about=live, batch=batch.pk, images=len(todo)
        )
        for prediction in predictions[:SENT_AT_ONCE]:
            tasks.send_on_commit(tasks.predict, prediction.id)
    return batch


def _make(todo: dict[Any, Any], live: ModelVersion, batch: PredictionBatch) -> list[Prediction]:
    """Behind all uploads: their turns come last."""
    send_at = first_sweep()  # asked of the database once, not for each
    return Prediction.objects.bulk_create(
        Prediction(
            radiograph_id=radiograph_id,
            owner_id=owner_id,
            model_version=live,
            batch=batch,
            send_at=send_at,
            turn=BACKGROUND + number,
            trace=trace.current.get(),
        )
        for number, (radiograph_id, owner_id) in enumerate(todo.items())
    )
