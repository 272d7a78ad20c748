"""What a long command tells while it runs: JSON lines for a program, a progress bar for a person."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import TextIO


@dataclass(frozen=True)
class Event:
    """One step forward. epoch and step count from 1; seconds_left is None while nobody can tell."""

    phase: str
    epoch: int
    epochs: int
    step: int
    steps: int
    metrics: dict[str, float] = field(default_factory=dict)
    seconds_left: float | None = None


Tell = Callable[[Event], None]


def tell_json(file: TextIO) -> Tell:
    """Returns a function that writes each event as one JSON object a line."""

    def tell(event: Event) -> None:
        print(json.dumps(asdict(event)), file=file, flush=True)

    return tell


def tell_person(file: TextIO = sys.stderr) -> Tell:
    """Returns a function that draws a bar on a terminal, and elsewhere writes a line an epoch."""
    terminal = file.isatty()

    def tell(event: Event) -> None:
        done = event.step / max(event.steps, 1)
        figures = "".join(f"  {name} {value:.3f}" for name, value in event.metrics.items())
        left = "" if event.seconds_left is None else f"  {_duration(event.seconds_left)} left"
        text = f"{event.phase} {event.epoch}/{event.epochs}{figures}{left}"
        if terminal:
            bar = "#" * round(20 * done)
            file.write(f"\r\x1b[K[{bar:<20}] {text}")
            if event.step == event.steps:
                file.write("\n")
        elif event.step == event.steps:
            file.write(text + "\n")
        file.flush()

    return tell


class Remaining:
    """Estimates the seconds left from how long what was done since the first call took."""

    def __init__(self, total: float) -> None:
        self._total = total
        self._first: tuple[float, float] | None = None

    def after(self, done: float) -> float | None:
        now = time.monotonic()
        if self._first is None:
            self._first = (now, done)
        started, before = self._first
        if done <= before:
            return None
        return round((now - started) / (done - before) * max(self._total - done, 0), 1)


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
