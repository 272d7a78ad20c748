"""What became of many broken files."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field

from tests.fuzz.watch import Outcome


@dataclass
class Report:
    kinds: Counter[str] = field(default_factory=Counter)
    sentences: Counter[str] = field(default_factory=Counter)
    # Contained, and none of our making, but worth a look.
    crashes: list[tuple[str, Outcome]] = field(default_factory=list)
    slowest: tuple[float, str] = (0.0, "")
    largest: tuple[float, str] = (0.0, "")
    # What breaks the promise: the input's name and what became of it.
    problems: list[tuple[str, Outcome]] = field(default_factory=list)

    def add(self, name: str, outcome: Outcome, most_seconds: float) -> bool:
        """Returns whether it breaks the promise."""
        self.kinds[outcome.kind] += 1
        if outcome.kind == "refused":
            self.sentences[pattern(outcome.detail)] += 1
        if outcome.kind == "crashed":
            self.crashes.append((name, outcome))
        self.slowest = max(self.slowest, (outcome.cpu_seconds, name))
        self.largest = max(self.largest, (outcome.memory_mb, name))
        is_broken = outcome.kind in ("wrong", "too slow") or outcome.cpu_seconds > most_seconds
        if is_broken:
            self.problems.append((name, outcome))
        return is_broken

    def __str__(self) -> str:
        counts = ", ".join(f"{number:,} {kind}" for kind, number in sorted(self.kinds.items()))
        lines = [
            f"{sum(self.kinds.values()):,} inputs: {counts}",
            f"slowest: {self.slowest[0]:.2f} s of processor time ({self.slowest[1]})",
            f"largest: {self.largest[0]:.0f} MB ({self.largest[1]})",
            *(f"{number:8,} {sentence}" for sentence, number in self.sentences.most_common()),
            *(f"CRASH {name}: {outcome.detail}" for name, outcome in self.crashes),
            *(f"PROBLEM {name}: {outcome}" for name, outcome in self.problems),
        ]
        return "\n".join(lines)


def pattern(sentence: str) -> str:
    """The sentence without what it names, as docs/file-intake.md has it."""
    sentence = re.sub(r"(?<![a-z])'(?:[^'\\]|\\.)*'|\"[^\"]*\"", "…", sentence)
    sentence = re.sub(r"its modality is [^).]*(?=[).])", "its modality is …", sentence)
    sentence = re.sub(r"file is compressed as [^,]*", "file is compressed as …", sentence)
    sentence = re.sub(r"\d+(?= scans of)", "…", sentence)
    return re.sub(
        r"\b\d+ x \d+ pixels|\b\d+(?= bits per sample)", lambda found: re.sub(r"\d+", "…", found[0]), sentence
    )
