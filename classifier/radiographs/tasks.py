"""Celery tasks of radiographs. Each calls one job.

The database is the source of truth, and a message only wakes a worker: a duplicate finds nothing to do, and the sweep
replaces a lost one. portal/settings.py (CELERY_TASK_*) sets the delivery policy.
"""

from celery import shared_task


@shared_task(name="radiographs.predict_next")
def predict_next() -> None:
    """Makes the prediction whose turn it is. Each queued prediction sends one of these messages."""
    from classifier.radiographs.jobs import run_next_prediction

    run_next_prediction()
