"""Finds images that come from one source by their file names."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import PurePosixPath

# Shared hexadecimal digits that link two files. Among 1,000 random ids of 32 digits, 0.07 pairs are expected to share
# 8 digits in a row by chance, and 1.2 pairs to share 7.
MIN_RUN = 8
# Minimum number of hexadecimal digits of an id.
MIN_ID = 12
# Minimum length of a stem that links files. Cameras, browsers and journals use shorter ones, such as image25.
MIN_STEM = 20
# Text shared by more files is a naming scheme, not a source.
MAX_SHARING = 8
HEX_RUN = re.compile(rf"[0-9a-f]{{{MIN_ID},}}")


@dataclass(frozen=True)
class NameLink:
    """Two images that come from one source by their file names.

    Attributes:
        first: Index of the first image.
        second: Index of the second image; first < second.
        shared: Text that both file names contain.
    """

    first: int
    second: int
    shared: str


def find_name_links(paths: Sequence[str]) -> list[NameLink]:
    """Finds pairs of images that come from one source, though they may show different views.

    Two files are linked by a run of hexadecimal digits in their ids (annotation tools derive the ids of crops from the
    id of the original image) or by the same long stem. Folder names are ignored.

    Args:
        paths: Paths of the images.

    Returns:
        The links, ordered by first and second index.
    """
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
    # A run that overlaps a common part is not evidence beyond the digits outside of that part.
    runs = _runs([_without(identifier, common) for identifier in identifiers])
    shared = {pair: text for text, pair in _pairs(stems)} | {pair: text for text, pair in _pairs(runs)}
    return [NameLink(first, second, shared[first, second]) for first, second in sorted(shared)]


def _runs(identifiers: Sequence[str]) -> dict[str, set[int]]:
    """Returns the indices of the identifiers that contain each run of MIN_RUN digits."""
    runs: dict[str, set[int]] = defaultdict(set)
    for index, identifier in enumerate(identifiers):
        for start in range(len(identifier) - MIN_RUN + 1):
            run = identifier[start : start + MIN_RUN]
            if " " not in run:
                runs[run].add(index)
    return runs


def _without(identifier: str, common: set[str]) -> str:
    """Returns the identifier with the digits of common runs replaced by spaces."""
    digits = list(identifier)
    for start in range(len(identifier) - MIN_RUN + 1):
        if identifier[start : start + MIN_RUN] in common:
            digits[start : start + MIN_RUN] = " " * MIN_RUN
    return "".join(digits)


def _identifier(name: str) -> str:
    """Returns the last run of MIN_ID or more hexadecimal digits with at least two different letters, or ""."""
    runs = [run for run in HEX_RUN.findall(name) if len(set(run) & set("abcdef")) >= 2]
    return runs[-1] if runs else ""


def _pairs(sharing: dict[str, set[int]]) -> Iterable[tuple[str, tuple[int, int]]]:
    for text, indices in sharing.items():
        if 2 <= len(indices) <= MAX_SHARING:
            for pair in combinations(sorted(indices), 2):
                yield text, pair
