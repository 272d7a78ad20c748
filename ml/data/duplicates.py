"""Which images of a data set are copies of one picture: the same file, re-encoded, resized, stretched,
mirrored, turned, or one cut out of the other.

Two cheap searches propose pairs: perceptual hashes find whole pictures, corner descriptors with one
common geometry find crops and slight turns. One test decides: the second picture is laid on the
first, and the fine structure of both must correlate where they overlap. Other views of one
fracture are no copies and are not found here (see ml.data.file_names).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ml.data.alignment import Map, Overlap, lay_over
from ml.data.process_pool import process_pool
from ml.data.signatures import Signature, mirrored_descriptors

# Bits of 63 that may differ. Unrelated X-rays are about 24 apart in the nearest of 8 orientations.
MAX_HASH_DISTANCE = 10
# Descriptors are compared without what all of them share, in the directions in which they differ most.
DESCRIPTOR_DIRECTIONS = 64
MIN_SIMILARITY = 0.88
MIN_COMMON_CORNERS = 4
MAX_PARTNERS = 8
# How far, in pixels of pictures 256 long, a corner may lie from where the common geometry expects it.
CORNER_TOLERANCE = 8.0
# The correlation of fine structure that makes a pair, set by eye on real X-rays (docs/data.md). More
# is asked of small overlaps: two straight shafts agree easily.
MIN_CORRELATION = 0.75
MIN_CORRELATION_OF_SMALL = 0.87
SMALL_OVERLAP, MIN_OVERLAP = 0.65, 0.25
BLOCK = 2048
Progress = Callable[[float], None]


@dataclass(frozen=True)
class Pair:
    """Two images (indices, first < second) that show one picture.

    correlation of their fine structure where they overlap, 0 to 1; overlap as a share of the smaller
    one; mirrored if one is the other's mirror image; turned by so many degrees; scale of the second
    relative to the first, both pictures being 256 pixels long.
    """

    first: int
    second: int
    correlation: float
    overlap: float
    mirrored: bool
    turned: float
    scale: float


@dataclass(frozen=True, eq=False)
class Proposal:
    """Two images that may show one picture, and the (2, 3) map from the first's pixels to the second's.

    evidence ranks proposals of one search: more is likelier.
    """

    first: int
    second: int
    geometry: Map
    evidence: int


def find_duplicates(signatures: Sequence[Signature], progress: Progress = lambda share: None) -> list[Pair]:
    """All pairs of copies, by first and second. progress gets the share done, 0 to 1."""
    proposals = strongest(propose_by_hash(signatures))
    proposals += strongest(propose_by_corners(signatures, lambda share: progress(0.5 * share)))
    best: dict[tuple[int, int], Pair] = {}
    for number, pair in enumerate(_confirm_all(signatures, proposals)):
        if pair is not None:
            key = pair.first, pair.second
            if key not in best or best[key].correlation < pair.correlation:
                best[key] = pair
        progress(0.5 + 0.5 * (number + 1) / len(proposals))
    progress(1.0)
    return [best[key] for key in sorted(best)]


# What the worker processes compare; set in each of them, so that it is handed over only once.
_signatures: Sequence[Signature] = ()


def _share(signatures: Sequence[Signature]) -> None:
    global _signatures
    _signatures = signatures


def _confirm_shared(proposal: Proposal) -> Pair | None:
    return confirm(_signatures, proposal)


def _confirm_all(signatures: Sequence[Signature], proposals: Sequence[Proposal]) -> Iterable[Pair | None]:
    if len(proposals) < 100:
        yield from (confirm(signatures, proposal) for proposal in proposals)
        return
    with process_pool(_share, signatures) as pool:
        yield from pool.map(_confirm_shared, proposals, chunksize=16)


def confirm(signatures: Sequence[Signature], proposal: Proposal) -> Pair | None:
    """The pair, if the two pictures agree where they are said to overlap."""
    first, second = signatures[proposal.first].picture, signatures[proposal.second].picture
    found = lay_over(first, second, proposal.geometry)
    needed = MIN_CORRELATION if found.area >= SMALL_OVERLAP else MIN_CORRELATION_OF_SMALL
    if found.area < MIN_OVERLAP or found.correlation < needed:
        return None
    return _pair(proposal, found)


def _pair(proposal: Proposal, found: Overlap) -> Pair:
    linear = found.geometry[:, :2]
    determinant = float(np.linalg.det(linear))
    return Pair(
        proposal.first,
        proposal.second,
        correlation=found.correlation,
        overlap=found.area,
        mirrored=determinant < 0,
        turned=float(np.degrees(np.arctan2(linear[1, 0], linear[0, 0]))),
        scale=float(np.sqrt(abs(determinant))),
    )


def strongest(proposals: Sequence[Proposal]) -> list[Proposal]:
    """Those among the MAX_PARTNERS likeliest of either image.

    In a set of pictures in one pose nearly every two are proposed. The copies of one picture, however
    many, are still found to belong together, through one another.
    """
    partners: Counter[int] = Counter()
    kept = []
    for proposal in sorted(proposals, key=lambda one: -one.evidence):
        if min(partners[proposal.first], partners[proposal.second]) < MAX_PARTNERS:
            kept.append(proposal)
            partners.update((proposal.first, proposal.second))
    return kept


def propose_by_hash(signatures: Sequence[Signature]) -> list[Proposal]:
    """Pairs whose whole pictures look alike in one of the 8 orientations."""
    if not signatures:
        return []
    proposals = []
    versions = np.stack([signature.hashes for signature in signatures])
    upright = versions[:, 0]
    for second in range(1, len(signatures)):
        distances = np.bitwise_count(versions[:second] ^ upright[second])
        for first in map(int, np.flatnonzero(distances.min(axis=1) <= MAX_HASH_DISTANCE)):
            version = int(distances[first].argmin())
            shapes = signatures[first].picture.shape, signatures[second].picture.shape
            agreeing = 63 - int(distances[first, version])
            proposals.append(Proposal(first, second, _stretch(version, *shapes), agreeing))
    return proposals


def _stretch(version: int, first: tuple[int, ...], second: tuple[int, ...]) -> Map:
    transposed, across, down = version & 4, version & 2, version & 1
    turn = np.array([[0.0, 1.0], [1.0, 0.0]]) if transposed else np.eye(2)
    turn = np.diag([-1.0 if across else 1.0, -1.0 if down else 1.0]) @ turn
    size_first, size_second = (np.array([shape[1], shape[0]], dtype=np.float64) for shape in (first, second))
    linear = np.diag(size_second) @ turn @ np.diag(1 / size_first)
    return np.column_stack([linear, (size_second - 1) / 2 - linear @ ((size_first - 1) / 2)])


def propose_by_corners(signatures: Sequence[Signature], progress: Progress) -> list[Proposal]:
    """Pairs with corners alike whose places agree on one geometry."""
    if not signatures:
        return []
    proposals = []
    owner = np.repeat(np.arange(len(signatures)), [len(signature.corners) for signature in signatures])
    corners = np.concatenate([signature.corners for signature in signatures]).astype(np.float64)
    for mirrored in (False, True):
        matches = _similar_corners(signatures, owner, mirrored, progress)
        key = owner[matches[:, 0]] * len(signatures) + owner[matches[:, 1]]
        order = np.argsort(key, kind="stable")
        matches, key = matches[order], key[order]
        starts = np.flatnonzero(np.diff(key, prepend=-1))
        for group in np.split(matches, starts[1:]):
            if len(group) < MIN_COMMON_CORNERS:
                continue
            geometry, witnesses = common_geometry(corners[group[:, 0]], corners[group[:, 1]], mirrored)
            if witnesses >= MIN_COMMON_CORNERS:
                first, second = owner[group[0]]
                proposals.append(Proposal(int(first), int(second), geometry, witnesses))
    return proposals


def _similar_corners(
    signatures: Sequence[Signature],
    owner: NDArray[np.intp],
    mirrored: bool,
    progress: Progress,
) -> NDArray[np.intp]:
    """(m, 2) indices of corners that look alike, the first of an earlier image than the second.

    Of each later image a corner gets its best match alone.
    """
    upright = np.concatenate([signature.descriptors for signature in signatures])
    if len(upright) < 2:
        return np.zeros((0, 2), np.intp)
    asked = mirrored_descriptors(upright) if mirrored else upright
    mean = upright.mean(axis=0)
    _, directions = np.linalg.eigh(np.cov(upright, rowvar=False))
    main = directions[:, -DESCRIPTOR_DIRECTIONS:].astype(np.float32)
    upright, asked = _unit((upright - mean) @ main), _unit((asked - mean) @ main)
    found = []
    for start in range(0, len(upright), BLOCK):
        similar = asked[start : start + BLOCK] @ upright[start:].T
        places = np.flatnonzero(similar > MIN_SIMILARITY)
        first, second = np.divmod(places, similar.shape[1])
        first, second, similarity = first + start, second + start, similar.ravel()[places]
        later = owner[first] < owner[second]
        first, second, similarity = first[later], second[later], similarity[later]
        order = np.lexsort((-similarity, owner[second], first))
        first, second = first[order], second[order]
        is_best = (np.diff(first, prepend=-1) != 0) | (np.diff(owner[second], prepend=-1) != 0)
        found.append(np.stack([first[is_best], second[is_best]], axis=1))
        progress(0.5 * mirrored + 0.5 * min(1.0, (start + BLOCK) / len(upright)))
    return np.concatenate(found)


def _unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(rows / (np.linalg.norm(rows, axis=1, keepdims=True) + 1e-9), dtype=np.float32)


def common_geometry(
    first: NDArray[np.float64], second: NDArray[np.float64], mirrored: bool
) -> tuple[Map, int]:
    """The map that most matches agree on, and how many do.

    Each match of two corners (x, y, scale, angle) names a map by itself: it is asked how many of the
    others it brings to their partners.
    """
    cos, sin = np.cos(first[:, 3]), np.sin(first[:, 3])
    back = np.stack([np.stack([cos, sin], -1), np.stack([-sin, cos], -1)], -2)
    if mirrored:
        back[:, 1] *= -1
    cos, sin = np.cos(second[:, 3]), np.sin(second[:, 3])
    forth = np.stack([np.stack([cos, -sin], -1), np.stack([sin, cos], -1)], -2)
    scale = second[:, 2] / first[:, 2]
    linear = scale[:, None, None] * (forth @ back)
    shift = second[:, :2] - np.einsum("mij,mj->mi", linear, first[:, :2])
    expected = np.einsum("mij,nj->mni", linear, first[:, :2]) + shift[:, None]
    error = np.linalg.norm(expected - second[None, :, :2], axis=2)
    ratio = np.abs(np.log(scale[None, :] / scale[:, None]))
    agree = (error < CORNER_TOLERANCE * np.maximum(1, scale[:, None])) & (ratio < np.log(1.6))
    best = int(agree.sum(axis=1).argmax())
    chosen = agree[best]
    # One corner of a repeating pattern that resembles many others is one witness.
    witnesses = min(len(np.unique(points[chosen, :2] // 3, axis=0)) for points in (first, second))
    return _similarity(first[chosen, :2], second[chosen, :2], mirrored), witnesses


def _similarity(first: NDArray[np.float64], second: NDArray[np.float64], mirrored: bool) -> Map:
    """The turn, scale and shift (and mirroring) that brings points (m, 2) closest to others."""
    start, end = first @ [1, -1j if mirrored else 1j], second @ [1, 1j]
    centred = start - start.mean()
    factor = (centred.conj() @ (end - end.mean())) / max(float(np.sum(np.abs(centred) ** 2)), 1e-9)
    shift = end.mean() - factor * start.mean()
    linear = np.array([[factor.real, -factor.imag], [factor.imag, factor.real]])
    if mirrored:
        linear[:, 1] *= -1
    return np.column_stack([linear, [shift.real, shift.imag]])
