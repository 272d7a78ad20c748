"""Which side of the split a group of images is on.

A group's place is a hash of the seed and its identity, so it does not depend on what other images
there are: the same group lands on the same side when data is added. Where chance gives a class far
too many or too few images on a side, the cut moves for that class alone. Sides of an earlier
manifest are kept: what was tested on is tested on for ever.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ml.data.manifests import Item, Split

TEST_SHARE = 0.15
VALIDATION_SHARE = 0.15
# How far a class's share of images may be from the wanted one before its cut moves.
TOLERANCE = 1 / 3


@dataclass(frozen=True)
class Group:
    """identity: what names the group for good; labels: of its images; former: sides they had before."""

    identity: str
    labels: tuple[str, ...]
    former: frozenset[Split] = frozenset()

    @property
    def label(self) -> str:
        """The most frequent label (the first in the alphabet of several), for stratifying."""
        return min(Counter(self.labels).items(), key=lambda pair: (-pair[1], pair[0]))[0]


def former_sides(previous: Iterable[Item]) -> dict[str, Split]:
    """The side of each image of an earlier manifest, by the file's SHA-256."""
    return {item.sha256: item.split for item in previous}


def split_groups(groups: Sequence[Group], seed: int = 0) -> list[Split]:
    """The side of each group: 15 % of a class's images for testing, 15 % for validation, about.

    A group with images that were tested on before is for testing, whatever joined it; then the same
    for validation; then for training.
    """
    sides: dict[int, Split] = {}
    by_class: dict[str, list[int]] = defaultdict(list)
    for index, group in enumerate(groups):
        kept = next((side for side in ("test", "validation", "train") if side in group.former), None)
        if kept is not None:
            sides[index] = kept
        by_class[group.label].append(index)
    for indices in by_class.values():
        sides |= _split_class(groups, indices, sides, seed)
    return [sides[index] for index in range(len(groups))]


def _split_class(
    groups: Sequence[Group], indices: Sequence[int], kept: dict[int, Split], seed: int
) -> dict[int, Split]:
    size = {index: len(groups[index].labels) for index in indices}
    total = sum(size.values())
    place = {index: _place(groups[index].identity, seed) for index in indices}
    new = sorted((index for index in indices if index not in kept), key=lambda index: place[index])
    sides: dict[int, Split] = {}
    wanted: list[tuple[Split, float, float]] = [
        ("test", TEST_SHARE, TEST_SHARE),
        ("validation", VALIDATION_SHARE, TEST_SHARE + VALIDATION_SHARE),
    ]
    for side, share, cut in wanted:
        already = sum(size[index] for index in indices if kept.get(index) == side)
        count = sum(place[index] < cut for index in new)
        count = _corrected(count, already, [size[index] for index in new], share * total)
        sides |= dict.fromkeys(new[:count], side)
        new = new[count:]
    return sides | dict.fromkeys(new, "train")


def _corrected(count: int, already: int, sizes: Sequence[int], wanted: float) -> int:
    """How many of the groups to take so that the images taken are within TOLERANCE of those wanted."""

    def taken() -> int:
        return already + sum(sizes[:count])

    while count < len(sizes) and taken() < wanted * (1 - TOLERANCE):
        count += 1
    while count > 0 and taken() > wanted * (1 + TOLERANCE) and taken() - sizes[count - 1] > 0:
        count -= 1
    # Training has the first claim on a class of very few groups.
    return min(count, max(0, len(sizes) - 1)) if not already else count


def _place(identity: str, seed: int) -> float:
    digest = hashlib.sha256(f"{seed}:{identity}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
