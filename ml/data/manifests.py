"""Manifests of data sets: one row per image with its label, group and split."""

from __future__ import annotations

import csv
import hashlib
import io
import itertools
import os
import tempfile
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Literal, get_args

from ml.data import finding_labels
from ml.data.finding_labels import FindingLabels

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".dcm", ".dicom"})
# Folders of a published split, in lower case, that may lie between the class and its images.
PUBLISHED_SPLIT_FOLDERS = frozenset({"train", "training", "valid", "val", "validation", "test", "testing"})
# Folder, and label, of the images whose kind of fracture is unknown, and of those without a fracture.
NO_KIND = "no-kind"
# Table in the folder of a data set, with what is known of a fracture in its images.
FINDINGS = "findings.csv"


class DatasetRefused(ValueError):
    """The folder or manifest cannot be used; str(error) is one sentence for the user."""


@dataclass(frozen=True)
class Item:
    """One labelled image.

    Attributes:
        path: Path relative to the folder of the data set, with "/" as separator.
        sha256: SHA-256 of the file, in hexadecimal.
        width: Width in pixels, as read by ml.data.images.
        height: Height in pixels, as read by ml.data.images.
        label: Name of the class; NO_KIND if the image has none.
        group: Name of the group. All images of a group (a patient, a source, duplicates) are in one split.
        split: "train", "validation" or "test".
        finding: Whether the image shows a fracture, and where; None if that is unknown.
    """

    path: str
    sha256: str
    width: int
    height: int
    label: str
    group: str
    split: Split
    finding: FindingLabels | None = None


COLUMNS = ("path", "sha256", "width", "height", "label", "group", "split")
# A manifest has these columns if the finding of one of its images is known.
COLUMNS_WITH_FINDING = (*COLUMNS, *finding_labels.COLUMNS)


@dataclass(frozen=True)
class Manifest:
    """The items of a data set.

    Attributes:
        root: Folder of the data set.
        items: The items, ordered by path.
        classes: Names of the classes, in alphabetical order; without NO_KIND.
    """

    root: Path
    items: list[Item]
    classes: list[str]

    @classmethod
    def of(cls, root: Path, items: Iterable[Item]) -> Manifest:
        """Makes a manifest of items in any order.

        Raises:
            DatasetRefused: Two items have the same path, or a group is in two splits.
        """
        ordered = sorted(items, key=lambda item: item.path)
        _check_unique_paths(ordered)
        _check_groups(ordered)
        return cls(Path(root), ordered, sorted({item.label for item in ordered} - {NO_KIND}))

    @classmethod
    def read(cls, csv_path: Path, root: Path) -> Manifest:
        """Reads a manifest that `write` has written.

        Args:
            csv_path: The manifest.
            root: Folder of the data set, which contains the images.

        Raises:
            DatasetRefused: The file cannot be read, is not a manifest, or has invalid rows.
        """
        try:
            text = Path(csv_path).read_bytes().decode("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise DatasetRefused(f"The manifest {csv_path} cannot be read: {error}") from error
        rows = csv.reader(io.StringIO(text, newline=""))
        header = next(rows, [])
        if tuple(header) not in (COLUMNS, COLUMNS_WITH_FINDING):
            raise DatasetRefused(
                f"{csv_path} is not a manifest: the first line should be {','.join(COLUMNS)!r}, "
                f"but is {','.join(header)!r}."
            )
        items = [_parse_row(row, len(header), f"{csv_path} line {rows.line_num}") for row in rows]
        if not items:
            raise DatasetRefused(f"The manifest {csv_path} lists no images.")
        return cls.of(Path(root), items)

    def write(self, csv_path: Path) -> None:
        """Writes the manifest as CSV with the items ordered by path; replaces an existing file atomically."""
        csv_path = Path(csv_path)
        csv_path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=csv_path.parent, prefix=".manifest-")
        try:
            with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
                file.write(self._canonical_csv())
            Path(temporary).chmod(0o644)
            Path(temporary).replace(csv_path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise

    def with_kinds(self) -> Manifest:
        """Returns the manifest of the images that have a kind of fracture, without what is known of their findings.

        Raises:
            DatasetRefused: There are none.
        """
        items = [replace(item, finding=None) for item in self.items if item.label != NO_KIND]
        if not items:
            raise DatasetRefused("This data set has no images with a kind of fracture.")
        return Manifest.of(self.root, items)

    def of_classes(self, classes: Collection[str]) -> Manifest:
        """Returns the manifest of the images of these classes."""
        return Manifest.of(self.root, [item for item in self.items if item.label in classes])

    def subset(self, split: Split) -> list[Item]:
        """Returns the items of one split, ordered by path."""
        return [item for item in self.items if item.split == split]

    def file(self, item: Item) -> Path:
        """Returns the path of an item's image."""
        return self.root / item.path

    def checksum(self) -> str:
        """Returns the SHA-256 (hexadecimal) of the CSV, which is equal for the same rows."""
        return hashlib.sha256(self._canonical_csv().encode()).hexdigest()

    def _canonical_csv(self) -> str:
        buffer = io.StringIO(newline="")
        writer = csv.writer(buffer, lineterminator="\n")
        has_findings = any(item.finding is not None for item in self.items)
        writer.writerow(COLUMNS_WITH_FINDING if has_findings else COLUMNS)
        for item in self.items:
            row: list[str | int] = [getattr(item, name) for name in COLUMNS]
            if has_findings:
                row += item.finding.row() if item.finding else [""] * len(finding_labels.COLUMNS)
            writer.writerow(row)
        return buffer.getvalue()


def shared_classes(first: Sequence[str], second: Sequence[str]) -> list[str]:
    """Returns the classes that two models share, in the order of the first.

    Raises:
        DatasetRefused: they share fewer than two, so neither could be wrong.
    """
    shared = [name for name in first if name in second]
    if len(shared) < 2:
        names = f"only {shared[0]!r}" if shared else "no class"
        raise DatasetRefused(f"The models cannot be compared: they share {names}.")
    return shared


def _parse_row(row: list[str], num_columns: int, where: str) -> Item:
    if len(row) != num_columns:
        raise DatasetRefused(f"{where} has {len(row)} columns, not {num_columns}.")
    path, sha256, width, height, label, group, split, *found = row
    pure = PurePosixPath(path)
    if not path or pure.is_absolute() or ".." in pure.parts or "\\" in path or "\0" in path:
        raise DatasetRefused(f"{where}: {path!r} is not a path inside the folder of the data set.")
    if len(sha256) != 64 or set(sha256) - set("0123456789abcdef"):
        raise DatasetRefused(f"{where}: {sha256!r} is not a SHA-256.")
    if not (width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise DatasetRefused(f"{where}: width {width!r} and height {height!r} must be positive integers.")
    if not label or not group:
        raise DatasetRefused(f"{where} has no label or no group.")
    if split not in SPLITS:
        raise DatasetRefused(f"{where}: the split must be one of {', '.join(SPLITS)}, not {split!r}.")
    finding = _parse_finding(found, where) if any(found) else None
    return Item(path, sha256, int(width), int(height), label, group, split, finding)


def _parse_finding(values: list[str], where: str) -> FindingLabels:
    try:
        return FindingLabels.parse(dict(zip(finding_labels.COLUMNS, values, strict=True)))
    except ValueError as error:
        raise DatasetRefused(f"{where}: {error}") from error


def _check_unique_paths(items: list[Item]) -> None:
    for one, other in itertools.pairwise(items):
        if one.path == other.path:
            raise DatasetRefused(f"The image {one.path} is listed twice.")


def _check_groups(items: list[Item]) -> None:
    splits: dict[str, Split] = {}
    for item in items:
        split = splits.setdefault(item.group, item.split)
        if split != item.split:
            raise DatasetRefused(
                f"The group {item.group} is in {split} and in {item.split}: "
                "all images of a group must be in one split."
            )


@dataclass(frozen=True)
class ClassFolderFile:
    """One image file of a class-folder data set.

    Attributes:
        path: Path relative to the folder of the data set, with "/" as separator.
        label: Name of the class, which is the name of its folder.
        split_folder: Folder of the published split, such as "Train" or "Test"; "" if there is none.
    """

    path: str
    label: str
    split_folder: str


@dataclass(frozen=True)
class ClassFolder:
    """The files of a class-folder data set.

    Attributes:
        root: Folder of the data set.
        files: The image files, ordered by path.
        ignored: Paths of all other files, in alphabetical order.
    """

    root: Path
    files: list[ClassFolderFile]
    ignored: list[str]


def read_class_folder(root: Path) -> ClassFolder:
    """Lists the files of a data set laid out as CLASS/*.jpg or CLASS/{Train,Test}/*.jpg (also .png, .dcm).

    No image is opened.

    Args:
        root: Folder of the data set.

    Raises:
        DatasetRefused: root is not a folder, has no class folders, or a class has no images.
    """
    root = Path(root)
    if not root.is_dir():
        raise DatasetRefused(f"The folder {root} does not exist.")
    files: list[ClassFolderFile] = []
    ignored: list[str] = []
    classes: set[str] = set()
    for folder, _, names in sorted(os.walk(root)):
        inside = Path(folder).relative_to(root)
        # Archives contain folders such as ".git" and "__MACOSX", which are not classes.
        hidden = any(part.startswith((".", "__")) for part in inside.parts)
        if inside.parts and not hidden:
            classes.add(inside.parts[0])
        for name in sorted(names):
            path = (inside / name).as_posix()
            if path == FINDINGS:
                continue
            if hidden or not _is_image_place(inside) or not _is_image_name(name):
                ignored.append(path)
            else:
                split_folder = inside.parts[1] if len(inside.parts) == 2 else ""
                files.append(ClassFolderFile(path, inside.parts[0], split_folder))
    _check_classes(root, classes, files)
    return ClassFolder(root, sorted(files, key=lambda file: file.path), sorted(ignored))


def _is_image_place(inside: Path) -> bool:
    parts = inside.parts
    return len(parts) == 1 or (len(parts) == 2 and parts[1].lower() in PUBLISHED_SPLIT_FOLDERS)


def _is_image_name(name: str) -> bool:
    return not name.startswith(".") and Path(name).suffix.lower() in IMAGE_SUFFIXES


def _check_classes(root: Path, classes: set[str], files: list[ClassFolderFile]) -> None:
    if not files:
        raise DatasetRefused(f"{root} has no images in class folders (CLASS/*.jpg or CLASS/Train/*.jpg).")
    empty = sorted(classes - {file.label for file in files})
    if empty:
        raise DatasetRefused(f"The class folder {empty[0]!r} has no images.")
