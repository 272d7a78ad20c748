"""Celery tasks: an id in, one job called.

The database is the truth: a message is only a wake-up call. One that arrives twice finds nothing to do,
one that is lost is sent again by the sweep. The delivery policy stands in portal/settings.py (CELERY_TASK_*).
"""

from celery import shared_task


@shared_task(name="training.train")
def train(run_id: int) -> None:
    from classifier.training.jobs.train import run_training

    run_training(run_id)


@shared_task(name="training.compare")
def compare(comparison_id: int) -> None:
    from classifier.training.jobs.compare import run_comparison

    run_comparison(comparison_id)


@shared_task(name="training.follow_schedule")
def follow_schedule() -> None:
    from classifier.training.jobs.schedule import follow_schedule

    follow_schedule()
