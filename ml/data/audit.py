"""Audits a data set: finds duplicates, label conflicts and groups, and writes a manifest with a fixed split."""

from __future__ import annotations

import hashlib
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ml.data.duplicates import Pair, find_duplicates
from ml.data.file_names import NameLink, find_name_links
from ml.data.finding_labels import FindingLabels
from ml.data.findings import read_findings
from ml.data.groups import connected_components, label_conflicts
from ml.data.image_limits import ImageRefused
from ml.data.manifests import (
    NO_KIND,
    ClassFolder,
    ClassFolderFile,
    DatasetRefused,
    Item,
    Manifest,
    Split,
    read_class_folder,
)
from ml.data.process_pool import process_pool
from ml.data.sandbox import read_image
from ml.data.signatures import Signature, make_signature
from ml.data.splits import Group, previous_splits, split_groups, stratify
from ml.progress import ProgressCallback, ProgressEvent, RemainingTime

SECONDS_BETWEEN_EVENTS = 0.2


@dataclass(frozen=True, eq=False)
class Scan:
    """The result of reading one image file. If it was refused, only `file` and `refusal` are set.

    Attributes:
        file: The file.
        refusal: Reason why the file cannot be read; "" if it was read.
        sha256: SHA-256 of the file, in hexadecimal.
        pixels_sha256: SHA-256 of the shape and the pixels, in hexadecimal.
        width: Width in pixels.
        height: Height in pixels.
        is_grey: Whether the image has one channel.
        signature: Features for the search for near-duplicates.
    """

    file: ClassFolderFile
    refusal: str = ""
    sha256: str = ""
    pixels_sha256: str = ""
    width: int = 0
    height: int = 0
    is_grey: bool = False
    signature: Signature | None = None


@dataclass(frozen=True, eq=False)
class Audit:
    """The result of an audit. All indices of images are positions in `scans`.

    Attributes:
        folder: Files of the data set.
        scans: Readable images, ordered by path.
        unreadable: Image files that were refused.
        exact: Sets of images with the same bytes or pixels.
        near: Pairs of near-duplicates that are not exact duplicates.
        name_links: Pairs of images from one source by their file names.
        conflicts: Sets of duplicates with different labels, which are dropped, except for test images of the previous
            manifest.
        mixed_groups: Groups with several labels, which are kept.
        groups: Groups of the images that are kept.
        manifest: The images that are kept, with their groups and splits.
        seed: Seed of the split.
        given_groups: Whether known groups, such as patients, were given.
        num_kept_sides: Number of images that are in the same split as in the previous manifest.
        num_moved: Number of images that are in another split than in the previous manifest.
        seconds: Duration of the audit in seconds.
    """

    folder: ClassFolder
    scans: list[Scan]
    unreadable: list[Scan]
    exact: list[list[int]]
    near: list[Pair]
    name_links: list[NameLink]
    conflicts: list[list[int]]
    mixed_groups: list[list[int]]
    groups: list[list[int]]
    manifest: Manifest
    seed: int
    given_groups: bool
    num_kept_sides: int
    num_moved: int
    seconds: float


def audit(
    root: Path,
    on_progress: ProgressCallback = lambda event: None,
    *,
    given: dict[str, str] | None = None,
    previous: Manifest | None = None,
    seed: int = 0,
) -> Audit:
    """Audits a class-folder data set.

    Args:
        root: Folder of the data set.
        on_progress: Called with the progress.
        given: Known groups, such as patients, by path. File names then link only images without a known group.
            Groups in the table FINDINGS of the folder are added.
        previous: Manifest of an earlier audit; its images keep their splits.
        seed: Seed of the split.

    Raises:
        DatasetRefused: The folder is not a class-folder data set, or no usable image is left.
    """
    started = time.monotonic()
    folder = read_class_folder(root)
    listed = read_findings(root, folder.files)
    given = {**{path: group for path, (group, _) in listed.items()}, **(given or {})}
    findings = {path: labels for path, (_, labels) in listed.items()}
    everything = list(_scan_all(folder, on_progress))
    scans = [scan for scan in everything if not scan.refusal]
    if not scans:
        raise DatasetRefused(f"None of the {len(everything)} image files can be read.")
    kinds = [None if scan.file.label == NO_KIND else scan.file.label for scan in scans]
    fractured = [findings[scan.file.path].fractured if scan.file.path in findings else None for scan in scans]

    exact = _same_content(scans)
    pairs = _find_pairs(scans, on_progress)
    set_of = {index: number for number, members in enumerate(exact) for index in members}
    near = [pair for pair in pairs if set_of.get(pair.first, -1) != set_of.get(pair.second, -2)]
    name_links = find_name_links([scan.file.path for scan in scans])

    same = [(members[0], other) for members in exact for other in members[1:]]
    same += [(pair.first, pair.second) for pair in near]
    conflicts = label_conflicts(connected_components(len(scans), same), kinds, fractured)
    # A test image that several versions were evaluated on stays, and its label with it.
    frozen = {(item.sha256, item.label) for item in previous.subset("test")} if previous else set()
    dropped = {
        index
        for members in conflicts
        for index in members
        if (scans[index].sha256, scans[index].file.label) not in frozen
    }
    links = same + _links_by_source(scans, name_links, given)
    groups = [
        [index for index in members if index not in dropped]
        for members in connected_components(len(scans), links)
    ]
    groups = [members for members in groups if members]
    if not groups:
        raise DatasetRefused("No image is left: all are copies of each other with different labels.")

    former = previous_splits(previous.items) if previous else {}
    manifest = _make_manifest(root, scans, groups, given, findings, former, seed)
    moved = sum(former.get(item.sha256, item.split) != item.split for item in manifest.items)
    return Audit(
        folder=folder,
        scans=scans,
        unreadable=[scan for scan in everything if scan.refusal],
        exact=exact,
        near=near,
        name_links=name_links,
        conflicts=conflicts,
        mixed_groups=label_conflicts(groups, kinds),
        groups=groups,
        manifest=manifest,
        seed=seed,
        given_groups=bool(given),
        num_kept_sides=sum(item.sha256 in former for item in manifest.items) - moved,
        num_moved=moved,
        seconds=time.monotonic() - started,
    )


def scan_file(root: Path, file: ClassFolderFile) -> Scan:
    """Reads one image file and computes its signature.

    Args:
        root: Folder of the data set.
        file: A file of it.

    Returns:
        The scan; a file that cannot be read is returned with the reason.
    """
    try:
        content = (root / file.path).read_bytes()
        decoded = read_image(content)
    except ImageRefused as refusal:
        return Scan(file, refusal=str(refusal))
    except OSError as error:
        return Scan(file, refusal=f"The file cannot be opened: {error.strerror}.")
    pixels = decoded.pixels
    return Scan(
        file,
        sha256=hashlib.sha256(content).hexdigest(),
        pixels_sha256=hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest(),
        width=decoded.width,
        height=decoded.height,
        is_grey=pixels.ndim == 2,
        signature=make_signature(pixels),
    )


def _scan_shared(job: tuple[Path, ClassFolderFile]) -> Scan:
    return scan_file(*job)


def _scan_all(folder: ClassFolder, on_progress: ProgressCallback) -> Iterator[Scan]:
    jobs = [(folder.root, file) for file in folder.files]
    report = _ThrottledProgress("read", len(jobs), on_progress)
    if len(jobs) < 50:
        for number, job in enumerate(jobs):
            yield _scan_shared(job)
            report(number + 1)
        return
    with process_pool() as pool:
        for number, scan in enumerate(pool.map(_scan_shared, jobs, chunksize=8)):
            yield scan
            report(number + 1)


class _ThrottledProgress:
    """Reports the progress of a phase at most every SECONDS_BETWEEN_EVENTS, and its end."""

    def __init__(self, phase: str, total: int, on_progress: ProgressCallback) -> None:
        self._phase, self._total, self._on_progress = phase, total, on_progress
        self._last_report = 0.0
        self._remaining = RemainingTime(total)

    def __call__(self, done: int) -> None:
        if done < self._total and time.monotonic() - self._last_report < SECONDS_BETWEEN_EVENTS:
            return
        self._last_report = time.monotonic()
        left = self._remaining.estimate(done)
        self._on_progress(ProgressEvent(self._phase, 1, 1, done, self._total, {}, left))


def _find_pairs(scans: Sequence[Scan], on_progress: ProgressCallback) -> list[Pair]:
    signatures = [scan.signature for scan in scans if scan.signature is not None]
    report = _ThrottledProgress("compare", 100, on_progress)
    return find_duplicates(signatures, lambda share: report(int(100 * share)))


def _same_content(scans: Sequence[Scan]) -> list[list[int]]:
    by_pixels: dict[str, list[int]] = defaultdict(list)
    for index, scan in enumerate(scans):
        by_pixels[scan.pixels_sha256].append(index)
    return [indices for indices in by_pixels.values() if len(indices) > 1]


def _links_by_source(
    scans: Sequence[Scan], name_links: Sequence[NameLink], given: dict[str, str]
) -> list[tuple[int, int]]:
    links = []
    first_of: dict[str, int] = {}
    for index, scan in enumerate(scans):
        if scan.file.path in given:
            links.append((first_of.setdefault(given[scan.file.path], index), index))
    for link in name_links:
        if scans[link.first].file.path not in given or scans[link.second].file.path not in given:
            links.append((link.first, link.second))
    return links


def _make_manifest(
    root: Path,
    scans: Sequence[Scan],
    groups: Sequence[Sequence[int]],
    given: dict[str, str],
    findings: dict[str, FindingLabels],
    former: dict[str, Split],
    seed: int,
) -> Manifest:
    described = []
    for members in groups:
        names = sorted(
            {given[scans[index].file.path] for index in members if scans[index].file.path in given}
        )
        # Groups without a given name are named after one of their files, so that the name is stable.
        identity = names[0] if names else "g-" + min(scans[index].sha256 for index in members)[:16]
        digests = {scans[index].sha256 for index in members}
        digests |= {
            known.original_sha256 for index in members if (known := findings.get(scans[index].file.path))
        }
        sides = frozenset(former[digest] for digest in digests if digest in former)
        files = [scans[index].file for index in members]
        fractured = [file.path in findings and findings[file.path].fractured for file in files]
        described.append(Group(identity, stratify([file.label for file in files], fractured), sides))
    items = [
        Item(
            path=scans[index].file.path,
            sha256=scans[index].sha256,
            width=scans[index].width,
            height=scans[index].height,
            label=scans[index].file.label,
            group=group.identity,
            split=side,
            finding=findings.get(scans[index].file.path),
        )
        for members, group, side in zip(groups, described, split_groups(described, seed), strict=True)
        for index in members
    ]
    return Manifest.of(root, items)
