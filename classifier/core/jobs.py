"""Runs claimed rows of queued work: every job of a worker goes through `run_claimed`."""

import logging
import shutil
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from classifier.core import worker_stop
from classifier.core.leases import Lease, LeaseLost
from classifier.core.ml_process import CommandCrashed, CommandFailed, MlProcess, WorkFolderBusy
from classifier.core.queued_work import QueuedWork

log = logging.getLogger(__name__)
RETRY_AFTER = timedelta(seconds=10)
# No command is silent for this long unless it hangs.
MAX_SILENT_SECONDS = 3600.0


class Refused(Exception):
    """The work cannot be done, and another attempt would fail too. str(error) is the error that the user reads."""


def run_claimed(
    work: QueuedWork,
    job: Callable[[Lease], None],
    *,
    refusals: tuple[type[Exception], ...] = (),
    folder: Path | None = None,
    resumes: bool = False,
) -> None:
    """Runs the job of a claimed row, which ends it, fails it with an error for the user, or returns it to the queue.

    An unexpected error returns it to the queue for another attempt. A worker that stops returns it without counting
    the attempt. If another worker has claimed the row meanwhile, the row and its folder are left to that worker.

    Args:
        job: does the work; its last step is Lease.finish().
        refusals: errors that, like Refused and CommandFailed, fail the row with their text as the error.
        folder: the work's files on this host, removed at the end.
        resumes: the next attempt continues from the folder, so it is kept until the row is finished.
    """
    lease = Lease(work)
    name = f"{work._meta.verbose_name} {work.pk}"
    final: tuple[type[Exception], ...] = (Refused, CommandFailed, *refusals)
    try:
        try:
            try:
                job(lease)
            except final as refused:
                lease.fail(str(refused))
        except LeaseLost:
            raise
        except WorkFolderBusy as reason:
            # The process that uses the folder still needs it.
            log.warning("%s is returned to the queue: %s", name, reason)
            lease.release()
            return
        except worker_stop.WorkerStopping as reason:
            log.warning("%s is returned to the queue: %s", name, reason)
            _remove_before_return(lease, None if resumes else folder)
            lease.release()
            return
        except Exception as error:
            log.exception("%s: attempt %s failed", name, work.attempts)
            _remove_before_return(lease, None if resumes else folder)
            # A command that was killed may succeed immediately.
            lease.retry_after(timedelta(0) if isinstance(error, CommandCrashed) else RETRY_AFTER)
            return
    except LeaseLost:
        log.warning("%s: another worker has it, or it is finished or deleted", name)
        return
    # The row is finished, so no worker claims it any more.
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)


def _remove_before_return(lease: Lease, folder: Path | None) -> None:
    """Removes the folder of work that goes back to the queue, while no other worker can claim it.

    Raises:
        LeaseLost: the folder belongs to another worker by now.
    """
    if folder is not None:
        lease.renew(now=True)
        shutil.rmtree(folder, ignore_errors=True)


def watch(
    process: MlProcess,
    lease: Lease,
    *,
    phase: str,
    fields_of: Callable[[dict[str, Any]], dict[str, Any]] = lambda event: {},
    check_canceled: Callable[[], None] = lambda: None,
) -> None:
    """Follows a command to its end: saves its progress to the row, and checks whether it was canceled.

    Args:
        phase: the phase until the command's first event.
        fields_of: returns the fields of the row that an event changes.
        check_canceled: called at least once a second; may raise to stop the command.

    Raises:
        LeaseLost, WorkerStopping, CommandFailed, CommandCrashed
    """
    lease.renew(now=True, phase=phase)
    last_event_at = time.monotonic()
    for event in process.events():
        worker_stop.raise_if_requested()
        check_canceled()
        if event:
            last_event_at = time.monotonic()
            fields = fields_of(event)
            # The end of an epoch is saved even if the last write was a moment ago.
            lease.renew(now="history" in fields, **fields)
        else:
            lease.renew()
        if time.monotonic() - last_event_at > MAX_SILENT_SECONDS:
            raise CommandCrashed(f"python -m ml {process.arguments[0]} was silent for too long.")
