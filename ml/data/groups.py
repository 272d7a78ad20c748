"""Groups of linked images, and label conflicts between copies."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from pathlib import Path

from ml.data.manifests import DatasetRefused


def connected_components(count: int, links: Iterable[tuple[int, int]]) -> list[list[int]]:
    """Returns the connected components of a graph.

    Args:
        count: Number of nodes.
        links: Edges, as pairs of nodes from 0 to count - 1.

    Returns:
        The nodes of each component, sorted; components are ordered by their first node.
    """
    leader = list(range(count))

    def find(index: int) -> int:
        while leader[index] != index:
            leader[index] = leader[leader[index]]
            index = leader[index]
        return index

    for first, second in links:
        one, other = sorted((find(first), find(second)))
        leader[other] = one
    members: dict[int, list[int]] = defaultdict(list)
    for index in range(count):
        members[find(index)].append(index)
    return list(members.values())


def label_conflicts(copies: Sequence[Sequence[int]], *labels: Sequence[Hashable | None]) -> list[list[int]]:
    """Returns the sets of copies of one image whose labels differ.

    Args:
        copies: Sets of indices of labels.
        labels: Labels of each image, of one or several sorts; None where a label is unknown, which fits any other.
    """
    return [
        list(members)
        for members in copies
        if any(len({sort[index] for index in members} - {None}) > 1 for sort in labels)
    ]


def read_groups(csv_path: Path, paths: Sequence[str]) -> dict[str, str]:
    """Reads the groups of images, such as patients, from a CSV file with the columns path and group.

    Args:
        csv_path: The CSV file. A path in it may be a file name alone if only one image has that name.
        paths: Paths of the images of the data set.

    Returns:
        The group of each image that the file lists, by path.

    Raises:
        DatasetRefused: The file cannot be read, lacks a column, or names an image that is not in the data set.
    """
    try:
        with Path(csv_path).open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            if not {"path", "group"} <= set(reader.fieldnames or ()):
                raise DatasetRefused(f"{csv_path} needs the columns path and group.")
            rows = [(row["path"] or "", (row["group"] or "").strip()) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetRefused(f"The groups {csv_path} cannot be read: {error}") from error
    known = set(paths)
    by_name: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        by_name[path.rpartition("/")[2]].append(path)
    groups: dict[str, str] = {}
    for path, group in rows:
        found = [path] if path in known else by_name.get(path, [])
        if len(found) != 1 or not group:
            problem = "has no group" if found and not group else "names no image of the data set, or several"
            raise DatasetRefused(f"{csv_path}: {path!r} {problem}.")
        groups[found[0]] = group
    return groups
