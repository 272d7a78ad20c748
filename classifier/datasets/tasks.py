"""Celery tasks: an id in, one job called.

The database is the truth: a message is only a wake-up call. One that arrives twice finds nothing to do,
one that is lost is sent again by the sweep. The delivery policy stands in portal/settings.py (CELERY_TASK_*).
"""

from celery import shared_task


@shared_task(name="datasets.build")
def build_dataset(dataset_id: int) -> None:
    from classifier.datasets.jobs.build import build_dataset

    build_dataset(dataset_id)
