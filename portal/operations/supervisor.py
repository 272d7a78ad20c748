"""Keeps a group of child processes running and stops them together."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import FrameType

from classifier.core.child_process import die_with_parent

POLL_SECONDS = 0.1
STOP_TIMEOUT_SECONDS = 15.0
STABLE_SECONDS = 10.0
MAX_PAUSE_SECONDS = 30.0


@dataclass
class Child:
    """A child process.

    Attributes:
        name: name for log messages.
        command: command line.
        environment: additional environment variables.
        process: the running process, or None while waiting for a restart.
        started_at: monotonic time of the last start in seconds.
        start_at: monotonic time of the next start in seconds.
        pause: seconds to wait before the next restart.
    """

    name: str
    command: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    start_at: float = 0.0
    pause: float = 1.0

    def start(self) -> None:
        """Starts the process."""
        # In a new session, so that Ctrl-C reaches only the supervisor, which then stops the children.
        self.process = subprocess.Popen(
            self.command,
            env={**os.environ, **self.environment},
            start_new_session=True,
            # Ends the children if the supervisor is killed, so that they do not run next to a later set.
            preexec_fn=die_with_parent(signal.SIGTERM),
        )
        self.started_at = time.monotonic()

    def has_died(self) -> bool:
        """Returns whether the process has ended."""
        return self.process is not None and self.process.poll() is not None

    def restart_later(self) -> float:
        """Schedules the next start and returns the seconds until then. The pause doubles after each early exit."""
        was_stable = time.monotonic() - self.started_at > STABLE_SECONDS
        self.pause = 1.0 if was_stable else min(self.pause * 2, MAX_PAUSE_SECONDS)
        self.start_at = time.monotonic() + self.pause
        self.process = None
        return self.pause

    def signal_group(self, number: signal.Signals) -> None:
        """Sends a signal to the process and its descendants."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)


def supervise(
    children: list[Child], *, report: Callable[[str], None], on_started: Callable[[], None]
) -> None:
    """Runs the children until SIGTERM or SIGINT, and restarts each one that ends."""
    stopping: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        stopping.append(number)

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        for child in children:
            child.start()
        on_started()
        while not stopping:
            _restart_ended(children, report)
            time.sleep(POLL_SECONDS)
        report("Stopping.")
    finally:
        stop_all(children)
        for number, handler in before.items():
            signal.signal(number, handler)


def _restart_ended(children: list[Child], report: Callable[[str], None]) -> None:
    for child in children:
        if child.process is None:
            if time.monotonic() >= child.start_at:
                child.start()
        elif child.has_died():
            how = _describe(child.process.returncode)
            # Kills descendants that are still running, so that they do not run next to the new process.
            child.signal_group(signal.SIGKILL)
            pause = child.restart_later()
            report(f"{child.name} {how}. Restarting in {pause:.0f} s.")


def stop_all(children: list[Child]) -> None:
    """Sends SIGTERM to all children, and SIGKILL to those that do not end in time."""
    running = [child for child in children if child.process is not None]
    for child in running:
        child.process.terminate()  # type: ignore[union-attr]
    deadline = time.monotonic() + STOP_TIMEOUT_SECONDS
    for child in running:
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.process.wait(max(0.0, deadline - time.monotonic()))  # type: ignore[union-attr]
        child.signal_group(signal.SIGKILL)
        child.process.wait()  # type: ignore[union-attr]


def _describe(returncode: int) -> str:
    return (
        f"was killed by {signal.Signals(-returncode).name}"
        if returncode < 0
        else f"ended with code {returncode}"
    )
