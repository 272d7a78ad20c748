"""Celery tasks: an id in, one job called.

The database is the truth: a message is only a wake-up call. One that arrives twice finds nothing to do,
one that is lost is sent again by the sweep. The delivery policy stands in portal/settings.py (CELERY_TASK_*).
"""

from celery import shared_task


@shared_task(name="radiographs.predict_next")
def predict_next() -> None:
    """Answers the prediction whose turn it is. Each queued prediction sends one such message."""
    from classifier.radiographs.jobs import run_next_prediction

    run_next_prediction()
