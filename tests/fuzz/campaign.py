"""Many broken files of one kind, read under watch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tests.fuzz.report import Report
from tests.fuzz.watch import Doing, watch

# On any of the broken files, which are small.
MOST_SECONDS = 1.0
# So many are read in one fork: a fork for each would take longer than reading it.
BATCH = 100


@dataclass(frozen=True)
class Campaign:
    """files: good ones by name. mutate: breaks one, given all of them. read: "read" or "refused", else it is wrong."""

    files: Callable[[], dict[str, bytes]]
    mutate: Callable[[Random, bytes, Sequence[bytes]], bytes]
    read: Doing
    limit: Callable[[], None]

    def run(
        self,
        inputs: int,
        *,
        seed: int = 1,
        keep: Path | None = None,
        on_progress: Callable[[int], None] = lambda number: None,
    ) -> Report:
        """The same inputs for the same seed; those that break the promise are written to `keep`."""
        files, report = self.files(), Report()
        made = 0
        while made < inputs:
            numbers = range(made, min(made + BATCH, inputs))
            contents = (self._make(files, seed, number) for number in numbers)
            for outcome in watch(self.read, contents, self.limit):
                name = f"{self._pick(files, seed, made)}/{seed}-{made}"
                if report.add(name, outcome, MOST_SECONDS) and keep:
                    keep.mkdir(parents=True, exist_ok=True)
                    (keep / name.replace("/", "-")).write_bytes(self._make(files, seed, made))
                made += 1
                on_progress(made)
        return report

    def _make(self, files: dict[str, bytes], seed: int, number: int) -> bytes:
        name = self._pick(files, seed, number)
        return self.mutate(Random(f"{seed} {number}"), files[name], list(files.values()))

    def _pick(self, files: dict[str, bytes], seed: int, number: int) -> str:
        return Random(f"which {seed} {number}").choice(list(files))
