"""A worker that watches itself: alive is not enough, it must hear.

After its broker dropped, a worker can go on answering pings without ever taking another task (celery issues 8030,
10205). So each worker has a queue of its own and, when idle, sends a task to itself over a fresh connection. If it
hears none of several in a row, it ends, and whoever started it (`manage.py up`, a container engine) starts it anew.
A busy worker takes no task and needs no proof; it tells the database that it is busy, so that a long training does
not look like a dead queue.

Where the broker is no socket (the embedded one), a worker's processes take turns at one pipe. One that is killed while
it waits there is never seen to leave, and the others wait for ever: then the worker ends at once.
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
# So many unheard tasks in a row, one every CANARY_SECONDS, make a worker deaf.
PATIENCE = 4
SECONDS_TO_END = 5


class Watch(threading.Thread):
    def __init__(self, app: Celery, role: str) -> None:
        super().__init__(name="watch", daemon=True)
        self.app = app
        self.role = role
        self.queue = processes.own_queue(role)
        self.unheard = 0
        self.ending = threading.Event()

    def run(self) -> None:
        while not self.ending.wait(settings.CANARY_SECONDS):
            try:
                self.look()
            except Exception:
                log.exception("The worker could not look after itself")

    def look(self) -> None:
        if state.reserved_requests or state.active_requests:
            self.unheard = 0
            self.say_busy()
        elif self.unheard >= PATIENCE:
            self.end("The worker hears nothing any more")
        elif self.send():
            self.unheard += 1

    def hear(self, **kwargs: Any) -> None:
        self.unheard = 0

    def send(self) -> bool:
        try:
            echo.apply_async(queue=self.queue)
        except (OperationalError, OSError):
            return False  # nobody hears anything while the broker is down
        return True

    def say_busy(self) -> None:
        try:
            Canary.objects.filter(queue__in=processes.QUEUES_OF[self.role]).update(busy_at=timezone.now())
        finally:
            # Not kept open: the worker forks.
            connection.close()

    def lose(self, process: Any) -> None:
        """A process of the pool ended; called by the thread that starts another."""
        if (process.exitcode or 0) < 0:
            threading.Thread(
                target=self.end, args=["A process of the worker was killed"], daemon=True
            ).start()

    def end(self, reason: str) -> None:
        log.critical("%s; it ends in order to be started again.", reason)
        self.clean_up()
        os.kill(os.getpid(), signal.SIGTERM)
        self.ending.wait(SECONDS_TO_END)
        os._exit(1)

    def clean_up(self, **kwargs: Any) -> None:
        with contextlib.suppress(Exception), self.app.connection_for_write() as broker:
            broker.default_channel.queue_delete(self.queue)  # type: ignore[attr-defined]


def start(app: Celery, pool: Any) -> None:
    """Watches the worker of this process, whose tasks the pool (celery.concurrency.prefork.TaskPool) works off."""
    watch = Watch(app, settings.WORKER_ROLE)
    signals.task_received.connect(watch.hear, weak=False)
    signals.worker_shutdown.connect(watch.clean_up, weak=False)
    if not isinstance(pool._pool, AsynPool):  # which gives each process a pipe of its own
        pool._pool.on_process_down = watch.lose
    watch.start()
