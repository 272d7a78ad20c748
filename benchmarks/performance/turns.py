"""Runs contenders in turns, so that other work on the machine slows all of them alike."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, cast

from benchmarks.resource_usage import peak_mib, raise_priority
from tests.servers import ROOT


@dataclass
class Figures:
    """What was measured of one contender.

    Attributes:
        ms: Milliseconds of each operation.
        cpu_ms: Processor milliseconds of each operation, of all threads.
        cold_seconds: Seconds from the start of the process to the end of its first operation, of each start.
        mib: Largest memory of the process in MiB.
    """

    ms: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)
    cold_seconds: list[float] = field(default_factory=list)
    mib: float = 0.0

    @property
    def median(self) -> float:
        return statistics.median(self.ms)

    @property
    def cpu(self) -> float:
        return statistics.median(self.cpu_ms)

    @property
    def cold(self) -> float:
        return statistics.median(self.cold_seconds)


class Running:
    """The process of a contender."""

    def __init__(self, name: str, folder: Path, environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.performance.contenders", name, str(folder)],
            cwd=ROOT,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        raise_priority(self._process.pid)
        self._read()

    def take_turn(self, line: str) -> dict[str, float]:
        stdin = cast(IO[str], self._process.stdin)
        stdin.write(f"{line}\n")
        stdin.flush()
        return self._read()

    def peak_mib(self) -> float:
        return peak_mib(self._process.pid)

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()

    def _read(self) -> dict[str, float]:
        line = cast(IO[str], self._process.stdout).readline()
        if not line:
            raise SystemExit(f"{' '.join(cast(list[str], self._process.args))} ended.")
        return dict(json.loads(line))


@contextmanager
def running(name: str, folder: Path, environment: Mapping[str, str] | None = None) -> Iterator[Running]:
    process = Running(name, folder, environment or {})
    try:
        yield process
    finally:
        process.stop()


def measure(
    names: Sequence[str],
    folder: Path,
    lines: Sequence[str],
    rounds: int,
    environment: Mapping[str, str] | None = None,
) -> dict[str, Figures]:
    """Measures operations of warm processes; in each round, each contender takes one turn.

    The lines are given to the contenders one after the other. A first turn of each is not measured.
    """
    found = {name: Figures() for name in names}
    with ExitStack() as stack:
        processes = {name: stack.enter_context(running(name, folder, environment)) for name in names}
        for process in processes.values():
            process.take_turn(lines[0])
        for number in range(rounds):
            for name, process in processes.items():
                took = process.take_turn(lines[number % len(lines)])
                found[name].ms.append(took["ms"])
                found[name].cpu_ms.append(took["cpu_ms"])
        for name, process in processes.items():
            found[name].mib = process.peak_mib()
    return found


def measure_cold(found: dict[str, Figures], folder: Path, line: str, rounds: int) -> None:
    """Adds the seconds of starts in turns, each to the end of the first operation."""
    for _ in range(rounds):
        for name, figures in found.items():
            started = time.perf_counter()
            with running(name, folder) as process:
                process.take_turn(line)
                figures.cold_seconds.append(time.perf_counter() - started)
