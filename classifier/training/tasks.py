"""Celery tasks of training. Each calls one job.

The database is the source of truth, and a message only wakes a worker: a duplicate finds nothing to do, and the sweep
replaces a lost one. portal/settings.py (CELERY_TASK_*) sets the delivery policy.
"""

from celery import shared_task


@shared_task(name="training.train")
def train(run_id: int) -> None:
    """Runs the training run."""
    from classifier.training.jobs.train import run_training

    run_training(run_id)


@shared_task(name="training.compare")
def compare(comparison_id: int) -> None:
    """Runs the comparison."""
    from classifier.training.jobs.compare import run_comparison

    run_comparison(comparison_id)


@shared_task(name="training.recalibrate")
def recalibrate(recalibration_id: int) -> None:
    """Runs the recalibration."""
    from classifier.training.jobs.recalibrate import run_recalibration

    run_recalibration(recalibration_id)


@shared_task(name="training.follow_schedule")
def follow_schedule() -> None:
    """Starts a training run if the retraining schedule is due."""
    from classifier.training.jobs.schedule import follow_schedule

    follow_schedule()
