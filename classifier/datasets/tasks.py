"""Celery tasks of datasets. Each calls one job.

The database is the source of truth, and a message only wakes a worker: a duplicate finds nothing to do, and the sweep
replaces a lost one. portal/settings.py (CELERY_TASK_*) sets the delivery policy.
"""

from celery import shared_task


@shared_task(name="datasets.build")
def build_dataset(dataset_id: int) -> None:
    """Builds the data set version."""
    from classifier.datasets.jobs.build import build_dataset

    build_dataset(dataset_id)
