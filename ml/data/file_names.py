"""Images whose file names say that they come from one source, though they may show different views.

A stem such as image25 is no source: cameras, browsers and journals name files so. What counts is what
does not repeat by chance: a run of hexadecimal digits shared by two ids (annotation sites give the
parts cut from one picture ids that are pieces of one another), or a long stem.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import PurePosixPath

# Among 1,000 random 32-digit ids, a shared run of 8 is expected in 0.07 pairs, one of 7 in 1.2.
MIN_RUN = 8
MIN_ID = 12
MIN_STEM = 20
# What more files than this share is a way of naming, not a source.
MAX_SHARING = 8
HEX_RUN = re.compile(rf"[0-9a-f]{{{MIN_ID},}}")


@dataclass(frozen=True)
class NameLink:
    """Two images (indices, first < second) and what their file names share."""

    first: int
    second: int
    shared: str


def find_name_links(paths: Sequence[str]) -> list[NameLink]:
    """Pairs of files from one source, by first and second. Folders play no part."""
    identifiers: list[str] = []
    stems: dict[str, set[int]] = defaultdict(set)
    for index, path in enumerate(paths):
        name = PurePosixPath(path).stem.lower()
        identifier = _identifier(name)
        identifiers.append(identifier)
        stem = name.replace(identifier, "") if identifier else name
        if len(stem) >= MIN_STEM:
            stems[stem].add(index)
    runs = _runs(identifiers)
    common = {run for run, indices in runs.items() if len(indices) > MAX_SHARING}
    # A run that reaches from a common part into the next digits says no more than those digits.
    runs = _runs([_without(identifier, common) for identifier in identifiers])
    shared = {pair: text for text, pair in _pairs(stems)} | {pair: text for text, pair in _pairs(runs)}
    return [NameLink(first, second, shared[first, second]) for first, second in sorted(shared)]


def _runs(identifiers: Sequence[str]) -> dict[str, set[int]]:
    """Which identifiers hold which runs of MIN_RUN digits."""
    runs: dict[str, set[int]] = defaultdict(set)
    for index, identifier in enumerate(identifiers):
        for start in range(len(identifier) - MIN_RUN + 1):
            run = identifier[start : start + MIN_RUN]
            if " " not in run:
                runs[run].add(index)
    return runs


def _without(identifier: str, common: set[str]) -> str:
    """The identifier with spaces for the digits of common runs."""
    digits = list(identifier)
    for start in range(len(identifier) - MIN_RUN + 1):
        if identifier[start : start + MIN_RUN] in common:
            digits[start : start + MIN_RUN] = " " * MIN_RUN
    return "".join(digits)


def _identifier(name: str) -> str:
    """The last run of hexadecimal digits that is long enough and no plain number, or ""."""
    runs = [run for run in HEX_RUN.findall(name) if len(set(run) & set("abcdef")) >= 2]
    return runs[-1] if runs else ""


def _pairs(sharing: dict[str, set[int]]) -> Iterable[tuple[str, tuple[int, int]]]:
    for text, indices in sharing.items():
        if 2 <= len(indices) <= MAX_SHARING:
            for pair in combinations(sorted(indices), 2):
                yield text, pair
