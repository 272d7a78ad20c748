"""Progress events of long commands, and their output as JSON lines or as a progress bar."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import TextIO


@dataclass(frozen=True)
class ProgressEvent:
    """One progress report of a long command.

    Attributes:
        phase: Name of the current phase, such as "decode" or "train".
        epoch: Current epoch, counted from 1.
        epochs: Number of epochs in this phase.
        step: Number of finished steps.
        steps: Number of steps in this epoch.
        metrics: Metric values by name.
        seconds_left: Estimated remaining time in seconds; None while it cannot be estimated.
    """

    phase: str
    epoch: int
    epochs: int
    step: int
    steps: int
    metrics: dict[str, float] = field(default_factory=dict)
    seconds_left: float | None = None


ProgressCallback = Callable[[ProgressEvent], None]


def json_reporter(file: TextIO) -> ProgressCallback:
    """Returns a callback that writes each event to the file as one line of JSON."""

    def report(event: ProgressEvent) -> None:
        print(json.dumps(asdict(event)), file=file, flush=True)

    return report


def console_reporter(file: TextIO = sys.stderr) -> ProgressCallback:
    """Returns a callback that draws a progress bar on a terminal, and otherwise writes one line per epoch."""
    is_terminal = file.isatty()

    def report(event: ProgressEvent) -> None:
        fraction = event.step / max(event.steps, 1)
        metrics = "".join(f"  {name} {value:.3f}" for name, value in event.metrics.items())
        left = "" if event.seconds_left is None else f"  {_format_duration(event.seconds_left)} left"
        text = f"{event.phase} {event.epoch}/{event.epochs}{metrics}{left}"
        if is_terminal:
            bar = "#" * round(20 * fraction)
            file.write(f"\r\x1b[K[{bar:<20}] {text}")
            if event.step == event.steps:
                file.write("\n")
        elif event.step == event.steps:
            file.write(text + "\n")
        file.flush()

    return report


class RemainingTime:
    """Estimates the remaining time of a task from the rate since the first call of `estimate`."""

    def __init__(self, total: float) -> None:
        """Starts an estimate for `total` units of work."""
        self._total = total
        self._first: tuple[float, float] | None = None

    def estimate(self, done: float) -> float | None:
        """Returns the remaining seconds after `done` units; None at the first call."""
        now = time.monotonic()
        if self._first is None:
            self._first = (now, done)
        started, before = self._first
        if done <= before:
            return None
        return round((now - started) / (done - before) * max(self._total - done, 0), 1)


def _format_duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
