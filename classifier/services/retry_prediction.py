from django.db import transaction

from classifier import tasks, trace
from classifier.errors import NotAllowedNow
from classifier.models import Prediction
from classifier.models.queued_work import first_sweep


def retry_prediction(*, prediction: Prediction) -> None:
    """Ask again for an answer that failed."""
    with transaction.atomic():
        failed = Prediction.objects.filter(id=prediction.id, state=Prediction.State.FAILED)
        if not failed.update(
            state=Prediction.State.QUEUED,
            attempts=0,
            error="",
            finished_at=None,
            send_at=first_sweep(),
            turn=Prediction.objects.next_turn(prediction.radiograph.owner_id),
            trace=trace.current.get(),
        ):
            raise NotAllowedNow("Only a prediction that failed can be asked for again.")
        tasks.send_on_commit(tasks.predict, prediction.id)
