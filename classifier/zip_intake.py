"""An uploaded zip of class folders: what may be in it, and its images unpacked. Knows no database.

The table of contents is read and judged before a byte is unpacked; while unpacking, what the table of
contents promised is held to.
"""

import re
import stat
import struct
import unicodedata
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from ml.datasets import IMAGE_SUFFIXES, PUBLISHED_PARTS
from ml.images import MAX_BYTES

MAX_ENTRIES = 100_000
MAX_UNPACKED_BYTES = 20 * 1024**3
# X-rays hardly get smaller in a zip; a hundredth leaves room for blank images and plain DICOM files.
MAX_RATIO = 100
RATIO_COUNTS_FROM = 10 * 1024**2
MAX_CONTENTS_BYTES = 32 * 1024**2
# File systems end at 255.
MAX_NAME_BYTES = 200
COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
MAX_SHOWN = 100
CHUNK = 1024**2

END_OF_CONTENTS = b"PK\x05\x06"
END_OF_CONTENTS_64 = b"PK\x06\x06"
LOCATOR_64 = b"PK\x06\x07"
ENCRYPTED = 0x1


class ZipRefused(ValueError):
    """The zip cannot be used; str(error) is one sentence for the person."""


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
    _check_size_of_contents(file)
    try:
        with zipfile.ZipFile(file) as archive:
            infos = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, struct.error, NotImplementedError, EOFError) as error:
        raise ZipRefused("This file is no zip, or it is damaged.") from error
    if len(infos) > MAX_ENTRIES:
        raise ZipRefused(f"This zip has more than {MAX_ENTRIES:,} entries.")
    for info in infos:
        _check_entry(info)
    files = [info for info in infos if not info.is_dir() and not _is_litter(info.filename)]
    images = [info for info in files if PurePosixPath(info.filename).suffix.lower() in IMAGE_SUFFIXES]
    _check_sizes(images, _size(file))
    if not images:
        raise ZipRefused(
            "This zip holds no image. It should have a folder for each class, with images inside."
        )
    entries = _place(images)
    classes = sorted({entry.class_name for entry in entries})
    _check_no_empty_class(infos, images, classes)
    return Contents(sorted(entries, key=lambda entry: entry.path), classes, len(infos) - len(images))


def check_classes(found: list[str], expected: list[str]) -> None:
    """Raises: ZipRefused: the classes are not the expected ones."""
    unknown, missing = sorted(set(found) - set(expected)), sorted(set(expected) - set(found))
    if unknown:
        raise ZipRefused(
            f"This zip has a class {unknown[0]!r} that is not known here. If new classes are meant, say so."
        )
    if missing:
        raise ZipRefused(f"This zip has no class {missing[0]!r}. If other classes are meant, say so.")


def unpack(file: BinaryIO, contents: Contents, folder: Path, tell: Callable[[int], None]) -> None:
    """Writes the images under the folder, which is new; tells how many are done.

    Raises:
        ZipRefused: an entry is damaged, or is not what the table of contents says.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            for number, entry in enumerate(contents.entries, start=1):
                target = folder / entry.path
                target.parent.mkdir(parents=True, exist_ok=True)
                _write(archive, entry.info, target)
                tell(number)
    except ZipRefused:
        raise
    except (zipfile.BadZipFile, zlib.error, EOFError, struct.error, ValueError, NotImplementedError) as error:
        raise ZipRefused(f"The zip is damaged: {error}.") from error


def _write(archive: zipfile.ZipFile, info: zipfile.ZipInfo, target: Path) -> None:
    written = 0
    with archive.open(info) as source, target.open("xb") as copy:
        while chunk := source.read(CHUNK):
            written += len(chunk)
            if written > info.file_size:
                raise ZipRefused(f"{_shown(info)} is larger than the zip says.")
            copy.write(chunk)


def _check_entry(info: zipfile.ZipInfo) -> None:
    name = info.orig_filename
    parts = PurePosixPath(name).parts
    if name.startswith("/") or re.match(r"[A-Za-z]:", name) or "\\" in name or ".." in parts:
        raise ZipRefused(f"The name {_shown(info)} leads out of its folder.")
    if any(unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp") for letter in name) or not parts:
        raise ZipRefused(f"The name {_shown(info)} has characters that no name should have.")
    if any(len(part.encode()) > MAX_NAME_BYTES for part in parts):
        raise ZipRefused(f"The name {_shown(info)} is too long: up to {MAX_NAME_BYTES} bytes are accepted.")
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        what = "a link" if kind == stat.S_IFLNK else "no plain file"
        raise ZipRefused(f"{_shown(info)} is {what}; a data set needs files and folders only.")
    if info.flag_bits & ENCRYPTED:
        raise ZipRefused("This zip is encrypted. Please send it without a password.")
    if info.compress_type not in COMPRESSIONS:
        raise ZipRefused("This zip is compressed in a way that Callus does not read. Please use a plain zip.")


def _check_sizes(images: list[zipfile.ZipInfo], zip_bytes: int) -> None:
    unpacked = sum(info.file_size for info in images)
    is_too_dense = unpacked > RATIO_COUNTS_FROM and unpacked > MAX_RATIO * zip_bytes
    if unpacked > MAX_UNPACKED_BYTES or is_too_dense:
        raise ZipRefused("This zip would grow too large when unpacked.")
    for info in images:
        if info.file_size > MAX_BYTES:
            raise ZipRefused(
                f"{_shown(info)} is too large: an image may have up to {MAX_BYTES // 1024**2} MB."
            )


def _place(images: list[zipfile.ZipInfo]) -> list[Entry]:
    """Finds the class folders: below any folders that wrap them all, with Train and Test inside or around."""
    entries, roots, taken = [], set(), set()
    for info in images:
        *folders, name = PurePosixPath(info.filename).parts
        parts = [folder for folder in folders if folder.lower() in PUBLISHED_PARTS]
        names = [folder for folder in folders if folder.lower() not in PUBLISHED_PARTS]
        if not names:
            raise ZipRefused(f"{_shown(info)} is in no class folder.")
        if len(parts) > 1:
            raise ZipRefused(f"{_shown(info)} is in {parts[0]} and in {parts[1]}.")
        *root, class_name = names
        roots.add(tuple(root))
        path = PurePosixPath(class_name, *parts, name)
        if str(path).lower() in taken:
            raise ZipRefused(f"{_shown(info)} is in this zip twice.")
        taken.add(str(path).lower())
        entries.append(Entry(info, path))
    if len(roots) > 1:
        one, other = sorted("/".join(root) or "the top" for root in roots)[:2]
        raise ZipRefused(
            f"The class folders should lie side by side; some are in {one!r}, others in {other!r}."
        )
    return entries


def _check_no_empty_class(
    infos: list[zipfile.ZipInfo], images: list[zipfile.ZipInfo], classes: list[str]
) -> None:
    """A folder beside the class folders without any image is a class that lost its images."""
    depths = Counter(
        len([part for part in PurePosixPath(info.filename).parts[:-1] if part.lower() not in PUBLISHED_PARTS])
        for info in images
    )
    depth = next(iter(depths))
    for info in infos:
        if _is_litter(info.filename):
            continue
        parts = PurePosixPath(info.filename).parts
        folders = parts if info.is_dir() else parts[:-1]
        names = [part for part in folders if part.lower() not in PUBLISHED_PARTS]
        if len(names) >= depth and names[depth - 1] not in classes:
            raise ZipRefused(f"The class {names[depth - 1]!r} holds no image.")


def _is_litter(name: str) -> bool:
    """What operating systems leave in zips."""
    return any(part.startswith((".", "__")) for part in PurePosixPath(name).parts)


def _shown(info: zipfile.ZipInfo) -> str:
    name = info.orig_filename
    return ascii(name if len(name) <= MAX_SHOWN else name[:MAX_SHOWN] + "...")


def _size(file: BinaryIO) -> int:
    return file.seek(0, 2)


def _check_size_of_contents(file: BinaryIO) -> None:
    """Python reads the whole table of contents into memory, so its size is asked first."""
    size = _size(file)
    tail_size = min(size, 22 + 0xFFFF)
    file.seek(size - tail_size)
    tail = file.read(tail_size)
    start = tail.rfind(END_OF_CONTENTS)
    if start < 0 or len(tail) - start < 22:
        raise ZipRefused("This file is no zip, or it is damaged.")
    entries, contents_bytes = struct.unpack_from("<HI", tail, start + 10)
    if tail[max(0, start - 20) : start].startswith(LOCATOR_64):
        file.seek(max(0, size - tail_size + start - 20 - 56))
        record = file.read(56)
        if len(record) == 56 and record.startswith(END_OF_CONTENTS_64):
            entries, contents_bytes = struct.unpack_from("<QQ", record, 32)
    if entries > MAX_ENTRIES or contents_bytes > MAX_CONTENTS_BYTES:
        raise ZipRefused(f"This zip has more than {MAX_ENTRIES:,} entries.")
