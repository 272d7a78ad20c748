"""The lease under which a worker runs a claimed row."""

import logging
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.db import OperationalError, close_old_connections, transaction
from django.db.models import F
from django.utils import timezone

from classifier.core import worker_stop
from classifier.core.clock import database_now
from classifier.core.queued_work import QueuedWork, lease_duration

log = logging.getLogger(__name__)
SECONDS_BETWEEN_WRITES = 0.5
# Lease for sending an archive to the storage, which reports no progress.
MAX_STORING_TIME = timedelta(minutes=30)


class LeaseLost(Exception):
    """Another worker has claimed the row, or it is finished or deleted. The worker must not write to it any more."""


class Lease:
    """A claimed row that this worker may write to until the lease expires."""

    def __init__(self, work: QueuedWork) -> None:
        self.work = work
        self._last_write = 0.0
        # Progress that is not written yet.
        self._pending: dict[str, Any] = {}

    @property
    def row(self) -> Any:
        """Returns the row as a QuerySet, which is empty once the claim is no longer valid."""
        return type(self.work)._default_manager.all().still_claimed(self.work)  # type: ignore[attr-defined]

    def renew(self, *, duration: timedelta | None = None, now: bool = False, **progress: Any) -> None:
        """Extends the lease and saves the progress, at most twice a second. Progress in between is saved next time.

        Args:
            duration: how long the lease lasts from now on; by default settings.LEASE_SECONDS.
            now: writes even if the last write was less than half a second ago.
            progress: fields of the row and their new values.

        Raises:
            LeaseLost
        """
        self._pending |= progress
        if not now and time.monotonic() - self._last_write < SECONDS_BETWEEN_WRITES:
            return
        self._last_write = time.monotonic()
        try:
            lease_until = database_now() + (duration or lease_duration())
            changed = self.row.update(lease_until=lease_until, send_at=lease_until, **self._pending)
        except OperationalError:
            # The work goes on while the database restarts, as long as the lease has not expired.
            log.warning("%s: progress could not be written", self.work, exc_info=True)
            close_old_connections()
            return
        if not changed:
            raise LeaseLost(f"The lease of {self.work} was lost.")
        self._pending = {}

    def renew_for_storing(self, **progress: Any) -> None:
        """Extends the lease for sending an archive to the storage. Raises: LeaseLost."""
        self.renew(now=True, duration=MAX_STORING_TIME, **progress)

    def progress_callback(self, phase: str, steps: int) -> Callable[[int], None]:
        """Starts a phase, and returns a function that saves how many of its steps are done."""
        self.renew(now=True, phase=phase, step=0, steps=steps)

        def on_progress(step: int) -> None:
            worker_stop.raise_if_requested()
            self.renew(phase=phase, step=step, steps=steps)

        return on_progress

    def finish(self, state: str, **fields: Any) -> None:
        """Sets the final state. Raises: LeaseLost."""
        if not self.row.update(state=state, finished_at=timezone.now(), lease_until=None, **fields):
            raise LeaseLost(f"The lease of {self.work} was lost.")

    def fail(self, error: str) -> None:
        """Ends the work with an error that the user reads. Raises: LeaseLost."""
        with transaction.atomic():
            self.finish("failed", error=error[:500])
            self.work.conclude("failed", error)

    def retry_after(self, pause: timedelta) -> None:
        """Ends the lease after a temporary error. The attempt counts."""
        retry_at = database_now() + pause
        self.row.update(lease_until=retry_at, send_at=retry_at)

    def release(self) -> None:
        """Returns the row to the queue, because this worker stops or cannot run it now. The attempt does not count."""
        send_at = database_now() + timedelta(seconds=1)
        self.row.update(state="queued", attempts=F("attempts") - 1, lease_until=None, send_at=send_at)
