"""Reads and unpacks an uploaded zip of class folders, and of a table of findings. Does not use the database.

The table of contents is checked before anything is unpacked. Unpacking then enforces the sizes that it states.
"""

import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from classifier.datasets import zip_checks
from classifier.datasets.zip_checks import ZipRefused, canonical_name, quoted_name
from ml.data.manifests import FINDINGS, IMAGE_SUFFIXES, NO_KIND, PUBLISHED_SPLIT_FOLDERS

CHUNK = 1024**2
# What zipfile raises for a damaged entry.
ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, EOFError, struct.error, ValueError, NotImplementedError)


@dataclass(frozen=True)
class Entry:
    """An image in the zip with its target path: CLASS/file or CLASS/Train/file."""

    info: zipfile.ZipInfo
    path: PurePosixPath

    @property
    def class_name(self) -> str:
        """Returns the name of the class folder."""
        return self.path.parts[0]


@dataclass(frozen=True)
class Contents:
    """The contents of a zip.

    Attributes:
        entries: the images, ordered by path, and the table of findings, if there is one, at the end.
        classes: the names of the class folders, without that of images without a kind of fracture.
        num_ignored: number of ignored entries.
    """

    entries: list[Entry]
    classes: list[str]
    num_ignored: int


def read_contents(file: BinaryIO) -> Contents:
    """Reads and checks the table of contents of a zip.

    Raises:
        ZipRefused: the file is not a zip, or has contents that a data set does not need.
    """
    zip_checks.check_size_of_contents(file)
    try:
        with zipfile.ZipFile(file) as archive:
            infos, contents_start = archive.infolist(), archive.start_dir
    except (*ZIP_ERRORS, OSError) as error:
        raise ZipRefused(zip_checks.DAMAGED) from error
    if len(infos) > zip_checks.MAX_ENTRIES:
        raise ZipRefused(f"This zip has more than {zip_checks.MAX_ENTRIES:,} entries.")
    for info in infos:
        zip_checks.check_entry(info)
    zip_checks.check_overlaps(infos, contents_start)
    files = [info for info in infos if not info.is_dir() and not _is_system_file(info.filename)]
    images = [info for info in files if PurePosixPath(info.filename).suffix.lower() in IMAGE_SUFFIXES]
    tables = [info for info in files if PurePosixPath(info.filename).name == FINDINGS]
    zip_checks.check_sizes([*images, *tables], zip_checks.size_of(file))
    if not images:
        raise ZipRefused("This zip contains no images. It must have a folder of images for each class.")
    entries = _target_paths(images)
    folders = sorted({entry.class_name for entry in entries})
    _check_class_names(folders)
    _check_empty_classes(infos, images, folders)
    found = [*sorted(entries, key=lambda entry: entry.path), *_find_table(tables, images, folders)]
    classes = [name for name in folders if name != NO_KIND]
    return Contents(found, classes, len(infos) - len(found))


def check_classes(found: list[str], expected: list[str]) -> None:
    """Checks the classes of a zip. One that has none, but a table of findings, fits any.

    Raises:
        ZipRefused: they differ from the expected ones.
    """
    if not found:
        return
    unknown, missing = sorted(set(found) - set(expected)), sorted(set(expected) - set(found))
    if unknown:
        raise ZipRefused(
            f"This zip contains the unknown class {unknown[0]!r}. To add classes, allow new classes when you upload it."
        )
    if missing:
        raise ZipRefused(
            f"This zip lacks the class {missing[0]!r}. To remove classes, allow new classes when you upload it."
        )


def unpack(file: BinaryIO, contents: Contents, folder: Path, on_progress: Callable[[int], None]) -> None:
    """Writes the images into the new folder, and calls `on_progress` with their number after each.

    Raises:
        ZipRefused: an entry is damaged, or differs from what the table of contents states.
    """
    with zipfile.ZipFile(file) as archive:
        for number, entry in enumerate(contents.entries, start=1):
            target = folder / entry.path
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                _write(archive, entry.info, target)
            except ZipRefused:
                raise
            except ZIP_ERRORS as error:
                raise ZipRefused(
                    f"{quoted_name(entry.info)} cannot be unpacked; it may be damaged."
                ) from error
            on_progress(number)


def _write(archive: zipfile.ZipFile, info: zipfile.ZipInfo, target: Path) -> None:
    written = 0
    with archive.open(info) as source, target.open("xb") as copy:
        while chunk := source.read(CHUNK):
            written += len(chunk)
            if written > info.file_size:
                raise ZipRefused(f"{quoted_name(info)} is larger than the zip states.")
            copy.write(chunk)
    if written < info.file_size:
        raise ZipRefused(f"{quoted_name(info)} is smaller than the zip states.")


def _target_paths(images: list[zipfile.ZipInfo]) -> list[Entry]:
    """Finds the class folders, which may be nested in common parent folders and in, or around, Train and Test."""
    entries, roots, taken = [], set(), set()
    for info in images:
        *folders, name = PurePosixPath(info.filename).parts
        split_folders = [folder for folder in folders if folder.lower() in PUBLISHED_SPLIT_FOLDERS]
        names = [folder for folder in folders if folder.lower() not in PUBLISHED_SPLIT_FOLDERS]
        if not names:
            raise ZipRefused(f"{quoted_name(info)} is not in a class folder.")
        if len(split_folders) > 1:
            raise ZipRefused(f"{quoted_name(info)} is in both {split_folders[0]} and {split_folders[1]}.")
        *root, class_name = names
        roots.add(tuple(root))
        path = PurePosixPath(class_name, *split_folders, name)
        if canonical_name(str(path)) in taken:
            raise ZipRefused(f"{quoted_name(info)} appears twice, or next to a name that looks the same.")
        taken.add(canonical_name(str(path)))
        entries.append(Entry(info, path))
    if len(roots) > 1:
        one, other = sorted("/".join(root) or "the top level" for root in roots)[:2]
        raise ZipRefused(
            f"The class folders must be in the same folder; some are in {one!r}, others in {other!r}."
        )
    return entries


def _find_table(
    tables: list[zipfile.ZipInfo], images: list[zipfile.ZipInfo], folders: list[str]
) -> list[Entry]:
    """Returns the table of findings beside the class folders, if there is one."""
    parts = PurePosixPath(images[0].filename).parts
    root = parts[: next(place for place, part in enumerate(parts) if part in folders)]
    beside = [info for info in tables if PurePosixPath(info.filename).parts[:-1] == root]
    if len(beside) > 1:
        raise ZipRefused(f"{FINDINGS} appears twice.")
    if tables and not beside:
        raise ZipRefused(f"{quoted_name(tables[0])} must be beside the class folders.")
    if NO_KIND in folders and not beside:
        raise ZipRefused(
            f"The images in {NO_KIND!r} have no kind of fracture, so the zip must contain {FINDINGS}."
        )
    return [Entry(info, PurePosixPath(FINDINGS)) for info in beside]


def _check_class_names(classes: list[str]) -> None:
    seen: dict[str, str] = {}
    for name in classes:
        other = seen.setdefault(canonical_name(name), name)
        if other != name:
            raise ZipRefused(f"The classes {other!a} and {name!a} look the same.")


def _check_empty_classes(
    infos: list[zipfile.ZipInfo], images: list[zipfile.ZipInfo], classes: list[str]
) -> None:
    """Checks that each folder at the level of the class folders contains images."""
    depths = Counter(
        len(
            [
                part
                for part in PurePosixPath(info.filename).parts[:-1]
                if part.lower() not in PUBLISHED_SPLIT_FOLDERS
            ]
        )
        for info in images
    )
    depth = next(iter(depths))
    for info in infos:
        if _is_system_file(info.filename):
            continue
        parts = PurePosixPath(info.filename).parts
        folders = parts if info.is_dir() else parts[:-1]
        names = [part for part in folders if part.lower() not in PUBLISHED_SPLIT_FOLDERS]
        if len(names) >= depth and names[depth - 1] not in classes:
            raise ZipRefused(f"The class {names[depth - 1]!r} contains no images.")


def _is_system_file(name: str) -> bool:
    """Returns whether an operating system added this file to the zip."""
    return any(part.startswith((".", "__")) for part in PurePosixPath(name).parts)
