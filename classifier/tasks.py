"""Celery tasks: an id in, one job called.

The database is the truth: a message is only a wake-up call. One that arrives twice finds nothing to do,
one that is lost is sent again by the sweep. The delivery policy stands in portal/settings.py (CELERY_TASK_*).
"""

import logging
from typing import Any
from uuid import UUID

from celery import shared_task
from django.db import transaction
from kombu.exceptions import OperationalError

from classifier import worker_stop  # noqa: F401 - its flag is made before the worker forks
from classifier.models import Comparison, DatasetVersion, Prediction, TrainingRun

log = logging.getLogger(__name__)


@shared_task(name="classifier.predict")
def predict(prediction_id: str) -> None:
    """Wakes a worker, which answers the prediction whose turn it is: that of the message, or a fairer one."""
    from classifier.jobs.run_prediction import run_next_prediction

    run_next_prediction()


@shared_task(name="classifier.build_dataset")
def build_dataset(dataset_id: str) -> None:
    from classifier.jobs.build_dataset import build_dataset

    build_dataset(int(dataset_id))


@shared_task(name="classifier.train")
def train(run_id: str) -> None:
    from classifier.jobs.run_training import run_training

    run_training(int(run_id))


@shared_task(name="classifier.compare")
def compare(comparison_id: str) -> None:
    from classifier.jobs.run_comparison import run_comparison

    run_comparison(int(comparison_id))


@shared_task(name="classifier.sweep")
def sweep() -> None:
    from classifier.jobs.sweep import sweep

    for kind, row_id in sweep():
        send(TASK_OF[kind], row_id)


@shared_task(name="classifier.follow_schedule")
def follow_schedule() -> None:
    from classifier.jobs.follow_schedule import follow_schedule

    follow_schedule()


@shared_task(name="classifier.purge")
def purge() -> None:
    from classifier.jobs.purge import purge

    purge()


TASK_OF: dict[type, Any] = {
    Prediction: predict,
    DatasetVersion: build_dataset,
    TrainingRun: train,
    Comparison: compare,
}


def send(task: Any, object_id: UUID | int) -> None:
    """Send the task's message. A broker that cannot be reached is no error: the sweep sends it later."""
    try:
        task.delay(str(object_id))
    except (OperationalError, OSError) as error:
        log.warning(
            "The broker cannot be reached (%s); %s %s waits for the sweep.", error, task.name, object_id
        )


def send_on_commit(task: Any, object_id: UUID | int) -> None:
    # Robust: the rows are committed by then, and no trouble of the broker may turn success into an error.
    transaction.on_commit(lambda: send(task, object_id), robust=True)
