"""A data set as a manifest: one row an image, with its label, its group and its side of the split."""

from __future__ import annotations

import csv
import hashlib
import io
import itertools
import os
import tempfile
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields
from pathlib import Path, PurePosixPath
from typing import Literal, get_args

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".dcm", ".dicom"})
# Folder names, lower case, that a publisher may have put between the class and its images.
PUBLISHED_PARTS = frozenset({"train", "training", "valid", "val", "validation", "test", "testing"})


class DatasetRefused(ValueError):
    """The folder or manifest cannot be used; str(error) is one sentence for the person."""


@dataclass(frozen=True)
class Item:
    """One labelled image.

    path is relative to the data set's folder, with "/" between its parts; sha256 is that of the
    file; width and height are in pixels, as read by ml.data.images. Images of one group (one patient,
    one source, duplicates) are always on one side of the split.
    """

    path: str
    sha256: str
    width: int
    height: int
    label: str
    group: str
    split: Split


COLUMNS = tuple(field.name for field in fields(Item))


@dataclass(frozen=True)
class Manifest:
    """The items of a data set in canonical order (by path), and its classes in alphabetical order."""

    root: Path
    items: list[Item]
    classes: list[str]

    @classmethod
    def of(cls, root: Path, items: Iterable[Item]) -> Manifest:
        """Makes a manifest of items in any order.

        Raises:
            DatasetRefused: two items share a path, or a group is on two sides of the split.
        """
        ordered = sorted(items, key=lambda item: item.path)
        _check_unique_paths(ordered)
        _check_groups(ordered)
        return cls(Path(root), ordered, sorted({item.label for item in ordered}))

    @classmethod
    def read(cls, csv_path: Path, root: Path) -> Manifest:
        """Reads a manifest written by `write`; the images lie under root.

        Raises:
            DatasetRefused: the file is missing or no manifest, or `of` refuses its rows.
        """
        try:
            text = Path(csv_path).read_bytes().decode("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise DatasetRefused(f"The manifest {csv_path} cannot be read: {error}") from error
        rows = csv.reader(io.StringIO(text, newline=""))
        header = next(rows, [])
        if tuple(header) != COLUMNS:
            raise DatasetRefused(
                f"{csv_path} is no manifest: its columns should be {','.join(COLUMNS)}, "
                f"but the first line is {','.join(header)!r}."
            )
        items = [_parse_row(row, f"{csv_path} line {rows.line_num}") for row in rows]
        if not items:
            raise DatasetRefused(f"The manifest {csv_path} lists no image.")
        return cls.of(Path(root), items)

    def write(self, csv_path: Path) -> None:
        """Writes the canonical CSV; a manifest that was there is replaced whole or not at all."""
        csv_path = Path(csv_path)
        csv_path.parent.mkdir(parents=True, exist_ok=True)
        handle, aside = tempfile.mkstemp(dir=csv_path.parent, prefix=".manifest-")
        try:
            with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
                file.write(self._canonical_csv())
            Path(aside).chmod(0o644)
            Path(aside).replace(csv_path)
        except BaseException:
            Path(aside).unlink(missing_ok=True)
            raise

    def subset(self, split: Split) -> list[Item]:
        """The items on one side of the split, in canonical order."""
        return [item for item in self.items if item.split == split]

    def file(self, item: Item) -> Path:
        """Where the item's image lies."""
        return self.root / item.path

    def checksum(self) -> str:
        """SHA-256 (hex) of the canonical CSV: same images, labels, groups and split, same checksum."""
        return hashlib.sha256(self._canonical_csv().encode()).hexdigest()

    def _canonical_csv(self) -> str:
        buffer = io.StringIO(newline="")
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(astuple(item) for item in self.items)
        return buffer.getvalue()


def _parse_row(row: list[str], where: str) -> Item:
    if len(row) != len(COLUMNS):
        raise DatasetRefused(f"{where} has {len(row)} columns, not {len(COLUMNS)}.")
    path, sha256, width, height, label, group, split = row
    pure = PurePosixPath(path)
    if not path or pure.is_absolute() or ".." in pure.parts or "\\" in path or "\0" in path:
        raise DatasetRefused(f"{where}: {path!r} is no path inside the data set's folder.")
    if len(sha256) != 64 or set(sha256) - set("0123456789abcdef"):
        raise DatasetRefused(f"{where}: {sha256!r} is no SHA-256.")
    if not (width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise DatasetRefused(f"{where}: width and height {width!r}, {height!r} are no numbers of pixels.")
    if not label or not group:
        raise DatasetRefused(f"{where} has no label or no group.")
    if split not in SPLITS:
        raise DatasetRefused(f"{where}: the split is {split!r}, not one of {', '.join(SPLITS)}.")
    return Item(path, sha256, int(width), int(height), label, group, split)


def _check_unique_paths(items: list[Item]) -> None:
    for one, other in itertools.pairwise(items):
        if one.path == other.path:
            raise DatasetRefused(f"The image {one.path} is listed twice.")


def _check_groups(items: list[Item]) -> None:
    sides: dict[str, Split] = {}
    for item in items:
        side = sides.setdefault(item.group, item.split)
        if side != item.split:
            raise DatasetRefused(
                f"The group {item.group} is in {side} and in {item.split}: "
                "images of one group must stay on one side."
            )


@dataclass(frozen=True)
class ClassFolderFile:
    """One image file of a class-folder data set; part is the publisher's folder ("Train", "Test") or ""."""

    path: str
    label: str
    part: str


@dataclass(frozen=True)
class ClassFolder:
    """What a class-folder data set holds: its image files by path, and the files that are no images."""

    root: Path
    files: list[ClassFolderFile]
    ignored: list[str]


def read_class_folder(root: Path) -> ClassFolder:
    """Lists the images of CLASS/*.jpg or CLASS/{Train,Test}/*.jpg (also .png, .dcm).

    Class names are the folders' names. No image is opened.

    Raises:
        DatasetRefused: root is no folder, has no class folders, or a class has no image.
    """
    root = Path(root)
    if not root.is_dir():
        raise DatasetRefused(f"There is no folder {root}.")
    files: list[ClassFolderFile] = []
    ignored: list[str] = []
    classes: set[str] = set()
    for folder, _, names in sorted(os.walk(root)):
        inside = Path(folder).relative_to(root)
        # ".git", "__MACOSX" and their like come with archives and are no classes.
        hidden = any(part.startswith((".", "__")) for part in inside.parts)
        if inside.parts and not hidden:
            classes.add(inside.parts[0])
        for name in sorted(names):
            path = (inside / name).as_posix()
            if hidden or not _is_image_place(inside) or not _is_image_name(name):
                ignored.append(path)
            else:
                part = inside.parts[1] if len(inside.parts) == 2 else ""
                files.append(ClassFolderFile(path, inside.parts[0], part))
    _check_classes(root, classes, files)
    return ClassFolder(root, sorted(files, key=lambda file: file.path), sorted(ignored))


def _is_image_place(inside: Path) -> bool:
    parts = inside.parts
    return len(parts) == 1 or (len(parts) == 2 and parts[1].lower() in PUBLISHED_PARTS)


def _is_image_name(name: str) -> bool:
    return not name.startswith(".") and Path(name).suffix.lower() in IMAGE_SUFFIXES


def _check_classes(root: Path, classes: set[str], files: list[ClassFolderFile]) -> None:
    if not files:
        raise DatasetRefused(f"{root} holds no images in class folders (CLASS/*.jpg or CLASS/Train/*.jpg).")
    empty = sorted(classes - {file.label for file in files})
    if empty:
        raise DatasetRefused(f"The class folder {empty[0]!r} holds no image.")
