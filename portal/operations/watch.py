"""Restarts a worker that runs but no longer receives tasks.

After losing its broker, a worker may still answer pings without ever receiving another task (celery issues 8030,
10205). Each worker therefore has its own queue and, when idle, sends test tasks to itself over a new connection. If
several in a row do not arrive, the worker ends, and its supervisor (`manage.py up`, a container engine) restarts it.
A busy worker receives no tasks; it writes to the database that it is busy, so that its queue counts as alive.

With the embedded broker, the pool processes of a worker share one pipe. If one is killed while it holds the lock of
the pipe, the others wait forever. The worker therefore ends as soon as a pool process is killed.
"""

import contextlib
import logging
import os
import signal
import threading
from typing import Any

from celery import Celery, signals
from celery.concurrency.asynpool import AsynPool
from celery.worker import state
from django.conf import settings
from django.db import connection
from django.utils import timezone
from kombu.exceptions import OperationalError

from portal.operations import processes
from portal.operations.models import Canary
from portal.operations.tasks import echo

log = logging.getLogger(__name__)
# The worker ends after so many missed test tasks in a row, sent every CANARY_SECONDS.
MAX_MISSED = 4
STOP_TIMEOUT_SECONDS = 5


class Watch(threading.Thread):
    """The thread that checks the worker of this process."""

    def __init__(self, app: Celery, role: str) -> None:
        super().__init__(name="watch", daemon=True)
        self.app = app
        self.role = role
        self.queue = processes.echo_queue(role)
        self.missed = 0
        self.stopping = threading.Event()

    def run(self) -> None:
        """Checks the worker every CANARY_SECONDS."""
        while not self.stopping.wait(settings.CANARY_SECONDS):
            try:
                self.check()
            except Exception:
                log.exception("The worker could not check itself")

    def check(self) -> None:
        """Reports that the worker is busy, sends a test task, or ends the worker after too many missed tasks."""
        if state.reserved_requests or state.active_requests:
            self.missed = 0
            self.report_busy()
        elif self.missed >= MAX_MISSED:
            self.end("The worker no longer receives tasks")
        elif self.send():
            self.missed += 1

    def on_task_received(self, **kwargs: Any) -> None:
        """Resets the count of missed test tasks."""
        self.missed = 0

    def send(self) -> bool:
        """Sends a test task and returns whether the broker accepted it."""
        try:
            echo.apply_async(queue=self.queue)
        except (OperationalError, OSError):
            return False  # no worker receives tasks while the broker is down
        return True

    def report_busy(self) -> None:
        """Records that the worker's queues are served, although no test task arrives."""
        try:
            Canary.objects.filter(queue__in=processes.QUEUES_OF[self.role]).update(busy_at=timezone.now())
        finally:
            # Closed, because forked processes must not share it.
            connection.close()

    def on_process_down(self, process: Any) -> None:
        """Ends the worker if a pool process was killed. Called by the thread that replaces pool processes."""
        if (process.exitcode or 0) < 0:
            threading.Thread(
                target=self.end, args=["A pool process of the worker was killed"], daemon=True
            ).start()

    def end(self, reason: str) -> None:
        """Ends the worker so that its supervisor restarts it."""
        log.critical("%s. The worker ends so that it is restarted.", reason)
        self.clean_up()
        os.kill(os.getpid(), signal.SIGTERM)
        self.stopping.wait(STOP_TIMEOUT_SECONDS)
        os._exit(1)

    def clean_up(self, **kwargs: Any) -> None:
        """Deletes the worker's own queue from the broker."""
        with contextlib.suppress(Exception), self.app.connection_for_write() as broker:
            broker.default_channel.queue_delete(self.queue)  # type: ignore[attr-defined]


def start(app: Celery, pool: Any) -> None:
    """Starts the watch of the worker of this process, which runs its tasks in `pool` (prefork.TaskPool)."""
    watch = Watch(app, settings.WORKER_ROLE)
    signals.task_received.connect(watch.on_task_received, weak=False)
    signals.worker_shutdown.connect(watch.clean_up, weak=False)
    if not isinstance(pool._pool, AsynPool):  # with one pipe per process
        pool._pool.on_process_down = watch.on_process_down
    watch.start()
