"""Keeps a group of child processes running, and stops them together."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import FrameType

from classifier.core.child_process import die_with_parent

LOOK_SECONDS = 0.1
GRACE_SECONDS = 15.0
STEADY_SECONDS = 10.0
LONGEST_PAUSE = 30.0


@dataclass
class Child:
    name: str
    command: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    start_at: float = 0.0
    pause: float = 1.0

    def start(self) -> None:
        # A session of its own: Ctrl-C reaches the supervisor alone, which then stops all in order.
        self.process = subprocess.Popen(
            self.command,
            env={**os.environ, **self.environment},
            start_new_session=True,
            # A supervisor killed with -9 takes its children along: no old set works on beside the next.
            preexec_fn=die_with_parent(signal.SIGTERM),
        )
        self.started_at = time.monotonic()

    def has_died(self) -> bool:
        return self.process is not None and self.process.poll() is not None

    def restart_later(self) -> float:
        """Plan the next start; sooner for one that ran steadily. The seconds until then."""
        steady = time.monotonic() - self.started_at > STEADY_SECONDS
        self.pause = 1.0 if steady else min(self.pause * 2, LONGEST_PAUSE)
        self.start_at = time.monotonic() + self.pause
        self.process = None
        return self.pause

    def signal_group(self, number: signal.Signals) -> None:
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)


def supervise(children: list[Child], *, say: Callable[[str], None], when_started: Callable[[], None]) -> None:
    """Run the children until SIGTERM or SIGINT; start again each that dies."""
    stopping: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        stopping.append(number)

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        for child in children:
            child.start()
        when_started()
        while not stopping:
            _look_after(children, say)
            time.sleep(LOOK_SECONDS)
        say("Stopping.")
    finally:
        stop_all(children)
        for number, handler in before.items():
            signal.signal(number, handler)


def _look_after(children: list[Child], say: Callable[[str], None]) -> None:
    for child in children:
        if child.process is None:
            if time.monotonic() >= child.start_at:
                child.start()
        elif child.has_died():
            how = _describe(child.process.returncode)
            # What it left behind in its group must not work on beside its successor.
            child.signal_group(signal.SIGKILL)
            pause = child.restart_later()
            say(f"{child.name} {how}; starting it again in {pause:.0f} s.")


def stop_all(children: list[Child]) -> None:
    """SIGTERM to all at once; SIGKILL to those that are still there after the grace."""
    running = [child for child in children if child.process is not None]
    for child in running:
        child.process.terminate()  # type: ignore[union-attr]
    deadline = time.monotonic() + GRACE_SECONDS
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
