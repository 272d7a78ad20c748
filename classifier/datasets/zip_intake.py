"""An uploaded zip of class folders: what may be in it, and its images unpacked. Knows no database.

The table of contents is read and judged before a byte is unpacked; while unpacking, what the table of
contents promised is held to.
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
from classifier.datasets.zip_checks import ZipRefused, look, shown
from ml.data.manifests import IMAGE_SUFFIXES, PUBLISHED_SPLIT_FOLDERS

CHUNK = 1024**2
# What zipfile raises, on a damaged entry.
BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, struct.error, ValueError, NotImplementedError)


@dataclass(frozen=True)
class Entry:
    """An image in the zip, and where it goes: CLASS/file or CLASS/Train/file."""

    info: zipfile.ZipInfo
    path: PurePosixPath

    @property
    def class_name(self) -> str:
        return self.path.parts[0]


@dataclass(frozen=True)
class Contents:
    """What a zip holds: its images by path, its classes, and how many files are no images."""

    entries: list[Entry]
    classes: list[str]
    num_ignored: int


def read_contents(file: BinaryIO) -> Contents:
    """Judges a zip by its table of contents.

    Raises:
        ZipRefused: it is no zip, or holds what no data set needs.
    """
    zip_checks.check_size_of_contents(file)
    try:
        with zipfile.ZipFile(file) as archive:
            infos, contents_start = archive.infolist(), archive.start_dir
    except (*BROKEN, OSError) as error:
        raise ZipRefused("This file is no zip, or it is damaged.") from error
    if len(infos) > zip_checks.MAX_ENTRIES:
        raise ZipRefused(f"This zip has more than {zip_checks.MAX_ENTRIES:,} entries.")
    for info in infos:
        zip_checks.check_entry(info)
    zip_checks.check_places(infos, contents_start)
    files = [info for info in infos if not info.is_dir() and not _is_litter(info.filename)]
    images = [info for info in files if PurePosixPath(info.filename).suffix.lower() in IMAGE_SUFFIXES]
    zip_checks.check_sizes(images, zip_checks.size_of(file))
    if not images:
        raise ZipRefused(
            "This zip holds no image; it should have a folder for each class, with images inside."
        )
    entries = _place(images)
    classes = sorted({entry.class_name for entry in entries})
    _check_no_two_alike(classes)
    _check_no_empty_class(infos, images, classes)
    return Contents(sorted(entries, key=lambda entry: entry.path), classes, len(infos) - len(images))


def check_classes(found: list[str], expected: list[str]) -> None:
    """Raises: ZipRefused: the classes are not the expected ones."""
    unknown, missing = sorted(set(found) - set(expected)), sorted(set(expected) - set(found))
    if unknown:
        raise ZipRefused(
            f"This zip has a class {unknown[0]!r} that is not known here; if new classes are meant, say so."
        )
    if missing:
        raise ZipRefused(f"This zip has no class {missing[0]!r}; if other classes are meant, say so.")


def unpack(file: BinaryIO, contents: Contents, folder: Path, tell: Callable[[int], None]) -> None:
    """Writes the images under the folder, which is new; tells how many are done.

    Raises:
        ZipRefused: an entry is damaged, or is not what the table of contents says.
    """
    with zipfile.ZipFile(file) as archive:
        for number, entry in enumerate(contents.entries, start=1):
            target = folder / entry.path
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                _write(archive, entry.info, target)
            except ZipRefused:
                raise
            except BROKEN as error:
                raise ZipRefused(f"{shown(entry.info)} is damaged and cannot be unpacked.") from error
            tell(number)


def _write(archive: zipfile.ZipFile, info: zipfile.ZipInfo, target: Path) -> None:
    written = 0
    with archive.open(info) as source, target.open("xb") as copy:
        while chunk := source.read(CHUNK):
            written += len(chunk)
            if written > info.file_size:
                raise ZipRefused(f"{shown(info)} is larger than the zip says.")
            copy.write(chunk)
    if written < info.file_size:
        raise ZipRefused(f"{shown(info)} is smaller than the zip says.")


def _place(images: list[zipfile.ZipInfo]) -> list[Entry]:
    """Finds the class folders: below any folders that wrap them all, with Train and Test inside or around."""
    entries, roots, taken = [], set(), set()
    for info in images:
        *folders, name = PurePosixPath(info.filename).parts
        parts = [folder for folder in folders if folder.lower() in PUBLISHED_SPLIT_FOLDERS]
        names = [folder for folder in folders if folder.lower() not in PUBLISHED_SPLIT_FOLDERS]
        if not names:
            raise ZipRefused(f"{shown(info)} is in no class folder.")
        if len(parts) > 1:
            raise ZipRefused(f"{shown(info)} is in {parts[0]} and in {parts[1]}.")
        *root, class_name = names
        roots.add(tuple(root))
        path = PurePosixPath(class_name, *parts, name)
        if look(str(path)) in taken:
            raise ZipRefused(f"{shown(info)} is in this zip twice, or beside a name that looks the same.")
        taken.add(look(str(path)))
        entries.append(Entry(info, path))
    if len(roots) > 1:
        one, other = sorted("/".join(root) or "the top" for root in roots)[:2]
        raise ZipRefused(
            f"The class folders should lie side by side; some are in {one!r}, others in {other!r}."
        )
    return entries


def _check_no_two_alike(classes: list[str]) -> None:
    seen: dict[str, str] = {}
    for name in classes:
        other = seen.setdefault(look(name), name)
        if other != name:
            raise ZipRefused(f"The classes {other!a} and {name!a} look the same.")


def _check_no_empty_class(
    infos: list[zipfile.ZipInfo], images: list[zipfile.ZipInfo], classes: list[str]
) -> None:
    """A folder beside the class folders without any image is a class that lost its images."""
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
        if _is_litter(info.filename):
            continue
        parts = PurePosixPath(info.filename).parts
        folders = parts if info.is_dir() else parts[:-1]
        names = [part for part in folders if part.lower() not in PUBLISHED_SPLIT_FOLDERS]
        if len(names) >= depth and names[depth - 1] not in classes:
            raise ZipRefused(f"The class {names[depth - 1]!r} holds no image.")


def _is_litter(name: str) -> bool:
    """What operating systems leave in zips."""
    return any(part.startswith((".", "__")) for part in PurePosixPath(name).parts)
