"""Assigns groups of images to the train, validation and test splits.

The position of a group is a hash of the seed and its identity, so groups keep their splits when images are added. If a
split gets far too many or too few images of a class by chance, the cut moves for that class. Splits of an earlier
manifest are kept, so that test images are never trained on. Most of the new images of a class go to training, also if
the earlier manifest has few test images of it.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ml.data.manifests import NO_KIND, Item, Split

TEST_SHARE = 0.15
VALIDATION_SHARE = 0.15
# Maximum relative deviation of a class's share of images from the target share; beyond it, the cut moves.
TOLERANCE = 1 / 3


@dataclass(frozen=True)
class Group:
    """Images that must be in one split.

    Attributes:
        identity: Permanent name of the group.
        labels: Label of each image.
        former: Splits that images of the group had in an earlier manifest.
    """

    identity: str
    labels: tuple[str, ...]
    former: frozenset[Split] = frozenset()

    @property
    def label(self) -> str:
        """The most frequent label, by which groups are stratified; the alphabetically first one of several."""
        return min(Counter(self.labels).items(), key=lambda pair: (-pair[1], pair[0]))[0]


def stratify(labels: Sequence[str], fractured: Sequence[bool]) -> tuple[str, ...]:
    """Returns the labels by which a group is stratified: the kinds in it, or the findings if there are none.

    Args:
        labels: Label of each image of the group; NO_KIND if its kind of fracture is unknown.
        fractured: Whether each image shows a fracture; it is not used for images with a kind.
    """
    kinds = tuple(label for label in labels if label != NO_KIND)
    return kinds or tuple(f"{NO_KIND}, {'' if broken else 'not '}fractured" for broken in fractured)


def previous_splits(previous: Iterable[Item]) -> dict[str, Split]:
    """Returns the split of each image of an earlier manifest, by the SHA-256 of its file and of its original."""
    splits: dict[str, Split] = {}
    for item in previous:
        splits[item.sha256] = item.split
        if item.finding is not None and item.finding.original_sha256:
            splits.setdefault(item.finding.original_sha256, item.split)
    return splits


def split_groups(groups: Sequence[Group], seed: int = 0) -> list[Split]:
    """Assigns each group to a split, stratified by class.

    About 15% of the images of each class are test images and 15% validation images. A group with images of an earlier
    manifest gets their split; if they had several, test takes precedence over validation, and validation over train.

    Args:
        groups: The groups.
        seed: Seed of the split.

    Returns:
        The split of each group.
    """
    splits: dict[int, Split] = {}
    by_class: dict[str, list[int]] = defaultdict(list)
    for index, group in enumerate(groups):
        kept = next((split for split in ("test", "validation", "train") if split in group.former), None)
        if kept is not None:
            splits[index] = kept
        by_class[group.label].append(index)
    for indices in by_class.values():
        splits |= _split_class(groups, indices, splits, seed)
    return [splits[index] for index in range(len(groups))]


def _split_class(
    groups: Sequence[Group], indices: Sequence[int], kept: dict[int, Split], seed: int
) -> dict[int, Split]:
    size = {index: len(groups[index].labels) for index in indices}
    total = sum(size.values())
    position = {index: _position(groups[index].identity, seed) for index in indices}
    new = sorted((index for index in indices if index not in kept), key=lambda index: position[index])
    splits: dict[int, Split] = {}
    targets: list[tuple[Split, float, float]] = [
        ("test", TEST_SHARE, TEST_SHARE),
        ("validation", VALIDATION_SHARE, TEST_SHARE + VALIDATION_SHARE),
    ]
    num_new = sum(size[index] for index in new)
    for split, share, cut in targets:
        num_kept = sum(size[index] for index in indices if kept.get(index) == split)
        count = sum(position[index] < cut for index in new)
        # One image may always go to any split: images that come one by one would otherwise all go to training.
        limit = max(1.0, share * num_new * (1 + TOLERANCE))
        count = _correct_count(count, num_kept, [size[index] for index in new], share * total, limit)
        chosen = new[:count]
        if not chosen and num_new == total and len(new) > 1:
            chosen = [min(new, key=lambda index: size[index])]
        splits |= dict.fromkeys(chosen, split)
        new = [index for index in new if index not in splits]
    return splits | dict.fromkeys(new, "train")


def _correct_count(count: int, num_kept: int, sizes: Sequence[int], target: float, limit: float) -> int:
    """Returns how many of the groups to take so that the number of images is within TOLERANCE of the target.

    Args:
        count: Number of groups before the correction.
        num_kept: Number of images that the split has already.
        sizes: Number of images of each group.
        target: Number of images that the split should have.
        limit: Maximum number of images to take; takes precedence over the target.
    """

    def is_too_many(count: int) -> bool:
        # Rounded because a sum of shares may exceed a whole number by a rounding error.
        num_taken = sum(sizes[:count])
        return num_taken > round(limit, 6) or num_kept + num_taken > round(target * (1 + TOLERANCE), 6)

    while count < len(sizes) and num_kept + sum(sizes[:count]) < target * (1 - TOLERANCE):
        count += 1
    while count > 0 and is_too_many(count):
        count -= 1
    # A class of very few groups needs at least one for training.
    return min(count, max(0, len(sizes) - 1)) if not num_kept else count


def _position(identity: str, seed: int) -> float:
    """Returns a hash of the group's identity as a number in [0, 1)."""
    digest = hashlib.sha256(f"{seed}:{identity}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
