"""A worker's hold on a claimed row while it works: kept up by each sign of progress, or lost to a successor."""

import logging
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import OperationalError, close_old_connections
from django.db.models import F
from django.utils import timezone

from classifier.core import worker_stop
from classifier.core.clock import database_now
from classifier.core.ml_process import CommandCrashed, MlProcess
from classifier.core.models import QueuedWork

log = logging.getLogger(__name__)
SECONDS_BETWEEN_WRITES = 0.5


class HoldLost(Exception):
    """Somebody else has the row by now, or it is finished or gone: stop, and touch nothing."""


class Stopping(Exception):
    """This worker was asked to stop."""


def stop_if_asked() -> None:
    """Raises: Stopping"""
    if worker_stop.is_requested():
        raise Stopping("the worker stops")


class Hold:
    def __init__(self, work: QueuedWork) -> None:
        self.work = work
        self._written = 0.0

    @property
    def row(self) -> Any:
        """The row as a QuerySet, as long as it is held."""
        return type(self.work)._default_manager.all().held_by(self.work)  # type: ignore[attr-defined]

    def keep(self, *, lease: timedelta | None = None, now: bool = False, **progress: Any) -> None:
        """Extend the lease and note the progress; at most twice a second unless it must be `now`.

        Raises:
            HoldLost
        """
        if not now and time.monotonic() - self._written < SECONDS_BETWEEN_WRITES:
            return
        self._written = time.monotonic()
        try:
            lease_until = database_now() + (lease or timedelta(seconds=settings.LEASE_SECONDS))
            changed = self.row.update(lease_until=lease_until, send_at=lease_until, **progress)
        except OperationalError:
            # A database that restarts is no reason to stop, as long as the lease holds.
            log.warning("%s: progress could not be written", self.work, exc_info=True)
            close_old_connections()
            return
        if not changed:
            raise HoldLost(f"{self.work} is not ours any more.")

    def counts(self, phase: str, steps: int) -> Callable[[int], None]:
        """A function to be told how many of the steps are done."""
        self.keep(now=True, phase=phase, step=0, steps=steps)

        def tell(step: int) -> None:
            stop_if_asked()
            self.keep(phase=phase, step=step, steps=steps)

        return tell

    def finish(self, state: str, **fields: Any) -> None:
        """The last word on the row. Raises: HoldLost."""
        if not self.row.update(state=state, finished_at=timezone.now(), lease_until=None, **fields):
            raise HoldLost(f"{self.work} is not ours any more.")

    def fail(self, sentence: str) -> None:
        self.finish("failed", error=sentence[:500])

    def try_later(self, pause: timedelta) -> None:
        """Let go after an error that may pass; the attempt counts."""
        later = database_now() + pause
        self.row.update(lease_until=later, send_at=later)

    def hand_back(self) -> None:
        """Let go because this worker stops, or cannot work on it now; the attempt does not count."""
        soon = database_now() + timedelta(seconds=1)
        self.row.update(state="queued", attempts=F("attempts") - 1, lease_until=None, send_at=soon)


# No command is silent for this long unless it hangs.
SILENT_SECONDS = 3600.0


def watch(
    process: MlProcess,
    hold: Hold,
    *,
    phase: str,
    take: Callable[[dict[str, Any]], dict[str, Any]] = lambda event: {},
    look: Callable[[], None] = lambda: None,
) -> None:
    """Follow a command to its end: its progress goes to the held row, a wish to stop it is looked for.

    Args:
        phase: until it names one itself.
        take: the fields of the row that an event changes.
        look: called at least once a second; may raise to stop the command.

    Raises:
        HoldLost, Stopping, CommandFailed, CommandCrashed
    """
    hold.keep(now=True, phase=phase)
    heard = time.monotonic()
    for event in process.events():
        stop_if_asked()
        look()
        if event:
            heard = time.monotonic()
            fields = take(event)
            # The end of an epoch is told even when the last word was a moment ago.
            hold.keep(now="history" in fields, **fields)
        else:
            hold.keep()
        if time.monotonic() - heard > SILENT_SECONDS:
            raise CommandCrashed(f"python -m ml {process.arguments[0]} was silent for too long.")
