from django.db import transaction
from django.utils import timezone

from classifier.errors import NotAllowedNow
from classifier.models import AuditEntry, TrainingRun, User


def cancel_training(*, user: User, run: TrainingRun) -> None:
    """Stop a run. One that no worker has begun ends at once, else its worker ends it within seconds.

    Raises:
        NotAllowedNow: it is finished.
    """
    now = timezone.now()
    asked = {"cancel_requested_at": now, "canceled_by": user}
    with transaction.atomic():
        unfinished = TrainingRun.objects.filter(id=run.pk).unfinished()
        not_begun = unfinished.filter(state="queued", started_at=None)
        ended = not_begun.update(state=TrainingRun.State.CANCELED, finished_at=now, **asked)
        # What a worker left behind is cleaned up by a worker: the message wakes one.
        if not ended and not unfinished.filter(cancel_requested_at=None).update(send_at=now, **asked):
            raise NotAllowedNow(f"{run} is finished, or being stopped already.")
        AuditEntry.objects.record(actor=user, action="training canceled", about=run)
