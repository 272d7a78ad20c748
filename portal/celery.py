"""The Celery app: two queues for the work (predict, train), one for the beat's housekeeping (sweep)."""

import os
from typing import Any

from celery import Celery, signals
from celery.schedules import crontab
from django.db import close_old_connections
from kombu.transport import TRANSPORT_ALIASES

from classifier.core import trace
from portal import logs

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")

TRANSPORT_ALIASES["filesystem"] = "portal.embedded_broker:Transport"
TRANSPORT_ALIASES["redis"] = TRANSPORT_ALIASES["rediss"] = "portal.redis_broker:Transport"

app = Celery("callus")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
logs.keep_in_workers()
trace.follow_tasks()


@app.on_after_configure.connect
def schedule(sender: Celery, **kwargs: object) -> None:
    from django.conf import settings

    # No `expires`: a beat and a worker whose clocks differ would make such a message vanish unseen.
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
def keep_the_database(**kwargs: object) -> None:
    """As at a request: a connection stays for CONN_MAX_AGE, unless it is found broken. See CELERY_DB_REUSE_MAX."""
    close_old_connections()


@signals.worker_ready.connect
def watch_itself(sender: Any, **kwargs: object) -> None:
    # Only a worker needs it, and it imports half of Celery.
    from portal.operations import watch

    watch.start(sender.app, sender.pool)
