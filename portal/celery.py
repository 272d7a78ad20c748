"""The Celery app, with the queues predict, train and sweep (periodic maintenance)."""

import logging
import os
from typing import Any

from celery import Celery, signals
from celery.schedules import crontab
from django.db import close_old_connections, connection
from kombu.transport import TRANSPORT_ALIASES

from classifier.core import trace
from portal import logs

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")

TRANSPORT_ALIASES["filesystem"] = "portal.embedded_broker:Transport"
TRANSPORT_ALIASES["redis"] = TRANSPORT_ALIASES["rediss"] = "portal.redis_broker:Transport"

log = logging.getLogger(__name__)
app = Celery("callus")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
logs.keep_in_workers()
trace.follow_tasks()


@app.on_after_configure.connect
def schedule(sender: Celery, **kwargs: object) -> None:
    """Sets the schedule of the periodic tasks."""
    from django.conf import settings

    # No `expires`, because a worker whose clock is ahead of the scheduler's would silently drop the message.
    sender.conf.beat_schedule = {
        "sweep": {
            "task": "operations.sweep",
            "schedule": settings.SWEEP_SECONDS,
            "options": {"queue": "sweep"},
        },
        "schedule": {
            "task": "training.follow_schedule",
            "schedule": settings.SCHEDULE_SECONDS,
            "options": {"queue": "sweep"},
        },
        "purge": {
            "task": "operations.purge",
            "schedule": crontab(hour=3, minute=17),
            "options": {"queue": "sweep"},
        },
        "canaries": {
            "task": "operations.send_canaries",
            "schedule": settings.CANARY_SECONDS,
            "options": {"queue": "sweep"},
        },
    }


@signals.task_prerun.connect
@signals.task_postrun.connect
def close_old_database_connections(**kwargs: object) -> None:
    """Closes broken connections and those older than CONN_MAX_AGE, as Django does at each request."""
    close_old_connections()


@signals.worker_ready.connect
def start_watch(sender: Any, **kwargs: object) -> None:
    """Starts the thread that checks that the worker still receives tasks."""
    # Imported here, because only workers need it and it imports large parts of Celery.
    from portal.operations import watch

    watch.start(sender.app, sender.pool)


@signals.worker_ready.connect
def remove_copied_radiographs(**kwargs: object) -> None:
    """Deletes the copies of X-rays that a killed worker left on this host."""
    from classifier.training.jobs.recalibrate import remove_leftovers

    try:
        remove_leftovers()
    except Exception:
        # The daily purge deletes them if the database cannot be reached now.
        log.exception("Leftovers of recalibrations could not be removed")
    finally:
        connection.close()
