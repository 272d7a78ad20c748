"""Where the reviewed radiographs would go if a data set version was made now."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from classifier.datasets import archives
from classifier.datasets.earlier import count_frozen, earlier_items, reasons_gone
from classifier.datasets.models import DatasetVersion
from classifier.datasets.reviewed_images import (
    ReviewedImages,
    is_reviewed_image,
    radiograph_id_of,
    reviewed_images,
)
from ml.data.groups import connected_components
from ml.data.manifests import SPLITS, Manifest, Split
from ml.data.splits import Group, previous_splits, split_groups, stratify


@dataclass(frozen=True)
class SplitPreview:
    """The split as far as it is known without reading images: of copies, only equal files join groups.

    Attributes:
        parent: the earlier version.
        splits: number of reviewed radiographs by split.
        counts: number of reviewed radiographs that are used and left out, as reviewed_images returns them.
        num_groups: number of groups of the used ones.
        largest_group: number of radiographs in the largest group.
        frozen: the test images of the parent that are kept and gone, as count_frozen returns them.
    """

    parent: DatasetVersion
    splits: dict[Split, int]
    counts: dict[str, int]
    num_groups: int
    largest_group: int
    frozen: dict[str, Any]

    @property
    def num_used(self) -> int:
        return sum(self.splits.values())


@dataclass(frozen=True)
class _Image:
    """An image of the version to be.

    Attributes:
        label: its class.
        is_fractured: whether it is known to show a fracture.
        identity: name of its group.
        keys: what joins it to others: its group, and the checksum of the file that was uploaded.
        former: its split in the newest earlier version with this image; None if it is new.
        is_reviewed: whether it is a reviewed radiograph.
    """

    label: str
    is_fractured: bool
    identity: str
    keys: tuple[str, ...]
    former: Split | None
    is_reviewed: bool = False


def preview_split(parent: DatasetVersion) -> SplitPreview:
    """Splits the parent's images and the reviewed radiographs by group, as the audit does."""
    reviewed = reviewed_images(parent.classes)
    manifest = archives.read_manifest(parent)
    images = _images(manifest, reviewed)
    first: dict[str, int] = {}
    links = [
        (first.setdefault(key, index), index) for index, image in enumerate(images) for key in image.keys
    ]
    groups = [[images[index] for index in members] for members in connected_components(len(images), links)]
    splits: Counter[Split] = Counter()
    for members, split in zip(groups, split_groups([_group(members) for members in groups]), strict=True):
        splits[split] += sum(image.is_reviewed for image in members)
    sizes = Counter(image.group for image in reviewed.images)
    return SplitPreview(
        parent,
        {split: splits[split] for split in SPLITS},
        reviewed.counts,
        len(sizes),
        max(sizes.values(), default=0),
        _count_frozen(manifest, reviewed),
    )


def _images(manifest: Manifest, reviewed: ReviewedImages) -> list[_Image]:
    earlier = earlier_items()
    former = previous_splits(earlier)
    former_of = {radiograph_id_of(item.path): item.split for item in earlier if is_reviewed_image(item.path)}
    images = [
        _Image(
            label=item.label,
            is_fractured=item.finding is not None and item.finding.fractured,
            identity=item.group,
            keys=(f"group {item.group}", f"file {item.sha256}"),
            former=former.get(item.sha256, item.split),
        )
        for item in manifest.items
        if not is_reviewed_image(item.path)
    ]
    return images + [
        _Image(
            label=image.label,
            is_fractured=image.finding.fractured,
            identity=image.group,
            keys=(f"group {image.group}", f"file {image.radiograph.sha256}"),
            former=former_of.get(image.radiograph.id) or former.get(image.radiograph.sha256),
            is_reviewed=True,
        )
        for image in reviewed.images
    ]


def _group(members: list[_Image]) -> Group:
    labels = stratify([image.label for image in members], [image.is_fractured for image in members])
    former = frozenset(image.former for image in members if image.former is not None)
    return Group(min(image.identity for image in members), labels, former)


def _count_frozen(manifest: Manifest, reviewed: ReviewedImages) -> dict[str, Any]:
    test = manifest.subset("test")
    used = {image.radiograph.id for image in reviewed.images}
    kept = {
        item.path for item in test if not is_reviewed_image(item.path) or radiograph_id_of(item.path) in used
    }
    return count_frozen(test, kept, reasons_gone(test, reviewed.left_out, ""))
