"""Which images must stay on one side of a split, and which labels contradict each other."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from ml.data.manifests import DatasetRefused


def connected(count: int, links: Iterable[tuple[int, int]]) -> list[list[int]]:
    """Groups of the indices 0 to count - 1 that are linked, directly or through others; each sorted."""
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


def contradicting(copies: Sequence[Sequence[int]], labels: Sequence[str]) -> list[list[int]]:
    """Of sets of copies of one picture, those whose labels differ."""
    return [list(members) for members in copies if len({labels[index] for index in members}) > 1]


def read_groups(csv_path: Path, paths: Sequence[str]) -> dict[str, str]:
    """The group of each listed image, from a CSV with the columns path and group.

    A path may also be the file's name alone, if only one image has it.

    Raises:
        DatasetRefused: the file cannot be read, lacks a column, or names an image that is not there.
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
            problem = "has no group" if found and not group else "is no image, or several, of the data set"
            raise DatasetRefused(f"{csv_path}: {path!r} {problem}.")
        groups[found[0]] = group
    return groups
