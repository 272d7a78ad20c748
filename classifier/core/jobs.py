"""The one way in which a worker does a queued row: it holds the claimed row while it works, then ends the row.

A row is held by its lease, which each sign of progress extends. `work_off` runs one claimed row to its end.
"""

import logging
import shutil
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.db import OperationalError, close_old_connections, transaction
from django.db.models import F
from django.utils import timezone

from classifier.core import worker_stop
from classifier.core.clock import database_now
from classifier.core.ml_process import CommandCrashed, CommandFailed, MlProcess, WorkFolderBusy
from classifier.core.models import QueuedWork, lease

log = logging.getLogger(__name__)
SECONDS_BETWEEN_WRITES = 0.5
RETRY_AFTER = timedelta(seconds=10)
# Lease for sending an archive to the storage, which reports no progress.
STORING_TAKES_AT_MOST = timedelta(minutes=30)


class Refused(Exception):
    """The work cannot be done, and another attempt would fail too; str(error) is the sentence for the person."""


class HoldLost(Exception):
    """Another worker has claimed the row, or it is finished or deleted: stop, and touch nothing."""


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

    def keep(self, *, lasting: timedelta | None = None, now: bool = False, **progress: Any) -> None:
        """Extend the lease and note the progress; at most twice a second unless it must be `now`.

        Raises:
            HoldLost
        """
        if not now and time.monotonic() - self._written < SECONDS_BETWEEN_WRITES:
            return
        self._written = time.monotonic()
        try:
            lease_until = database_now() + (lasting or lease())
            changed = self.row.update(lease_until=lease_until, send_at=lease_until, **progress)
        except OperationalError:
            # A database that restarts is no reason to stop, as long as the lease holds.
            log.warning("%s: progress could not be written", self.work, exc_info=True)
            close_old_connections()
            return
        if not changed:
            raise HoldLost(f"{self.work} is not ours any more.")

    def keep_while_storing(self, **progress: Any) -> None:
        """Extend the lease for sending an archive to the storage. Raises: HoldLost."""
        self.keep(now=True, lasting=STORING_TAKES_AT_MOST, **progress)

    def counts(self, phase: str, steps: int) -> Callable[[int], None]:
        """A function to be told how many of the steps are done."""
        self.keep(now=True, phase=phase, step=0, steps=steps)

        def tell(step: int) -> None:
            stop_if_asked()
            self.keep(phase=phase, step=step, steps=steps)

        return tell

    def finish(self, state: str, **fields: Any) -> None:
        """Set the final state. Raises: HoldLost."""
        if not self.row.update(state=state, finished_at=timezone.now(), lease_until=None, **fields):
            raise HoldLost(f"{self.work} is not ours any more.")

    def fail(self, sentence: str) -> None:
        """End the work with an error that the person reads. Raises: HoldLost."""
        with transaction.atomic():
            self.finish("failed", error=sentence[:500])
            self.work.conclude("failed", sentence)

    def try_later(self, pause: timedelta) -> None:
        """Let go after an error that may pass; the attempt counts."""
        later = database_now() + pause
        self.row.update(lease_until=later, send_at=later)

    def hand_back(self) -> None:
        """Let go because this worker stops, or cannot work on it now; the attempt does not count."""
        soon = database_now() + timedelta(seconds=1)
        self.row.update(state="queued", attempts=F("attempts") - 1, lease_until=None, send_at=soon)


def work_off(
    work: QueuedWork,
    do: Callable[[Hold], None],
    *,
    refusals: tuple[type[Exception], ...] = (),
    folder: Path | None = None,
    resumes: bool = False,
) -> None:
    """Do a claimed row: it is finished by `do`, failed with a sentence, or returned to the queue.

    An unexpected error returns it to the queue for another attempt. A worker that stops returns it without counting
    the attempt. A row that another worker claimed meanwhile is left alone, with the folder that its successor uses.

    Args:
        do: does the work; its last step is Hold.finish().
        refusals: errors that, like Refused and CommandFailed, fail the row with their text as the sentence.
        folder: the work's files on this host, removed at the end.
        resumes: the next attempt continues from the folder, so it is kept until the row is finished.
    """
    hold = Hold(work)
    name = f"{work._meta.verbose_name} {work.pk}"
    final: tuple[type[Exception], ...] = (Refused, CommandFailed, *refusals)
    is_over = True
    try:
        try:
            do(hold)
        except final as refused:
            hold.fail(str(refused))
    except HoldLost:
        log.warning("%s: another worker has it, or it is finished or deleted", name)
        return
    except (Stopping, WorkFolderBusy) as reason:
        log.warning("%s is handed back: %s", name, reason)
        hold.hand_back()
        is_over = False
    except Exception as error:
        log.exception("%s: attempt %s failed", name, work.attempts)
        # A command that was killed may do better at once.
        hold.try_later(timedelta(0) if isinstance(error, CommandCrashed) else RETRY_AFTER)
        is_over = False
    if folder is not None and (is_over or not resumes):
        shutil.rmtree(folder, ignore_errors=True)


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
    """Follow a command to its end: saves its progress to the row, and checks whether it was canceled.

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
