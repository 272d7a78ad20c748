"""Broken JPEG, PNG and DICOM files by the thousand, each read under watch."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.fuzz import seeds
from tests.fuzz.mutations import mutate
from tests.fuzz.watch import Outcome, watch


@dataclass
class Report:
    kinds: Counter[str] = field(default_factory=Counter)
    sentences: Counter[str] = field(default_factory=Counter)
    crashes: Counter[str] = field(default_factory=Counter)
    slowest: tuple[float, str] = (0.0, "")
    largest: tuple[float, str] = (0.0, "")
    # What breaks the promise: the input's name and what became of it.
    problems: list[tuple[str, Outcome]] = field(default_factory=list)

    def add(self, name: str, outcome: Outcome, most_seconds: float) -> None:
        self.kinds[outcome.kind] += 1
        if outcome.kind == "refused":
            self.sentences[pattern(outcome.said)] += 1
        if outcome.kind == "crashed":
            self.crashes[f"{outcome.said}, {name.partition('/')[0]}"] += 1
        self.slowest = max(self.slowest, (outcome.cpu_seconds, name))
        self.largest = max(self.largest, (outcome.memory_mb, name))
        if outcome.kind in ("wrong", "too slow") or outcome.cpu_seconds > most_seconds:
            self.problems.append((name, outcome))

    def __str__(self) -> str:
        counts = ", ".join(f"{number:,} {kind}" for kind, number in sorted(self.kinds.items()))
        lines = [
            f"{sum(self.kinds.values()):,} inputs: {counts}",
            f"slowest {self.slowest[0]:.2f} s of processor time ({self.slowest[1]})",
            f"peak {self.largest[0]:.0f} MB ({self.largest[1]})",
            *(f"{number:8,} {sentence}" for sentence, number in self.sentences.most_common()),
            *(f"{number:8,} crashes: {where}" for where, number in self.crashes.most_common()),
            *(f"PROBLEM {name}: {outcome}" for name, outcome in self.problems),
        ]
        return "\n".join(lines)


def pattern(sentence: str) -> str:
    """The sentence without its numbers and names, as docs/file-intake.md has it."""
    sentence = re.sub(r"\(its modality is [^)]*\)", "(its modality is …)", sentence)
    return re.sub(r"(?<![A-Za-z0-9])\d+(?= x | pixels;| bits a)|(?<= x )\d+(?= pixels)", "N", sentence)


def make(files: dict[str, bytes], seed: int, number: int) -> tuple[str, bytes]:
    """The input of this number, always the same, and its name."""
    random = Random(f"{seed} {number}")
    name = random.choice(list(files))
    return f"{name}/{seed}-{number}", mutate(random, files[name], list(files.values()))


def run(
    inputs: int,
    *,
    seed: int = 1,
    most_seconds: float = 1.0,
    keep: Path | None = None,
    tell: Callable[[int], None] = lambda number: None,
) -> Report:
    """Reads so many broken files; those that break the promise are written to `keep`."""
    files, report = seeds.images(), Report()
    for number in range(inputs):
        name, content = make(files, seed, number)
        report.add(name, watch(content), most_seconds)
        if keep and report.problems and report.problems[-1][0] == name:
            keep.mkdir(parents=True, exist_ok=True)
            (keep / name.replace("/", "-")).write_bytes(content)
        tell(number + 1)
    return report
