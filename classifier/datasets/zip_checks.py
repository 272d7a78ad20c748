"""Checks the table of contents of an uploaded zip and refuses what a data set does not need.

The table of contents may be false. Unpacking therefore enforces the sizes and offsets that are checked here.
"""

import re
import stat
import struct
import unicodedata
import zipfile
from pathlib import PurePosixPath
from typing import BinaryIO

from ml.data.image_limits import MAX_BYTES

MAX_ENTRIES = 100_000
MAX_UNPACKED_BYTES = 20 * 1024**3
# X-rays hardly compress. A ratio of 100 leaves room for blank images and uncompressed DICOM files.
MAX_RATIO = 100
MIN_BYTES_FOR_RATIO = 10 * 1024**2
MAX_CONTENTS_BYTES = 32 * 1024**2
# File systems allow 255.
MAX_NAME_BYTES = 200
MAX_PATH = 1000
COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
MAX_SHOWN = 100
ENTRY_IN_CONTENTS = b"PK\x01\x02"
END_OF_CONTENTS = b"PK\x05\x06"
END_OF_CONTENTS_64 = b"PK\x06\x06"
LOCATOR_64 = b"PK\x06\x07"
ENTRY_HEAD_BYTES = 30
# Flags of traditional, strong and table-of-contents encryption (APPNOTE 4.4.4).
ENCRYPTED = 0x1 | 0x40 | 0x2000
PATCH = 0x20
UTF_8 = 0x800
# Control and formatting characters, which can disguise a name, for example by changing the writing direction.
HIDDEN_CHARACTERS = ("Cc", "Cf", "Cs", "Zl", "Zp")
# Persian and Indic scripts need these to join and separate letters.
JOINERS = "\u200c\u200d"
DAMAGED = "This file is not a zip, or it is damaged."


class ZipRefused(ValueError):
    """The zip cannot be used. `str(error)` is a message for the user."""


def check_entry(info: zipfile.ZipInfo) -> None:
    """Checks the name, type, encryption and compression of one entry.

    Raises:
        ZipRefused: a data set does not need such an entry.
    """
    name = info.orig_filename
    parts = PurePosixPath(name).parts
    if name.startswith("/") or re.match(r"[A-Za-z]:", name) or "\\" in name or ".." in parts:
        raise ZipRefused(f"The name {quoted_name(info)} points outside its folder.")
    if len(name) > MAX_PATH or any(len(part.encode(errors="replace")) > MAX_NAME_BYTES for part in parts):
        raise ZipRefused(f"The name {quoted_name(info)} is too long. The limit is {MAX_NAME_BYTES} bytes.")
    if not parts or not (name.isprintable() or _is_visible(name)):
        raise ZipRefused(f"The name {quoted_name(info)} is empty or contains invisible characters.")
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        what = "a link" if kind == stat.S_IFLNK else "not a regular file"
        raise ZipRefused(f"{quoted_name(info)} is {what}. A data set may contain only files and folders.")
    if info.flag_bits & ENCRYPTED:
        raise ZipRefused("This zip is encrypted. Upload it without a password.")
    if info.compress_type not in COMPRESSIONS or info.flag_bits & PATCH:
        raise ZipRefused(
            "This zip uses an unsupported compression method. Create it with the standard method (Deflate)."
        )


def check_overlaps(infos: list[zipfile.ZipInfo], contents_start: int) -> None:
    """Checks that no two entries share bytes, which would let a small zip unpack to any size.

    Raises:
        ZipRefused: entries overlap.
    """
    end = contents_start
    for info in sorted(infos, key=lambda info: info.header_offset, reverse=True):
        head_bytes = ENTRY_HEAD_BYTES + len(_raw_name(info))
        if info.header_offset < 0 or info.header_offset + head_bytes + info.compress_size > end:
            raise ZipRefused("This zip is invalid: its entries overlap.")
        end = info.header_offset


def check_sizes(images: list[zipfile.ZipInfo], zip_bytes: int) -> None:
    """Checks the unpacked size of each image and of all images together.

    Raises:
        ZipRefused: a limit is exceeded.
    """
    unpacked = sum(info.file_size for info in images)
    is_too_dense = unpacked > MIN_BYTES_FOR_RATIO and unpacked > MAX_RATIO * zip_bytes
    if unpacked > MAX_UNPACKED_BYTES or is_too_dense:
        raise ZipRefused("This zip is too large when unpacked.")
    for info in images:
        if info.file_size > MAX_BYTES:
            raise ZipRefused(
                f"{quoted_name(info)} is too large. The limit is {MAX_BYTES // 1024**2} MB per image."
            )


def check_size_of_contents(file: BinaryIO) -> None:
    """Checks the size of the table of contents before Python reads all of it into memory.

    Raises:
        ZipRefused: the file is not a zip, or its table of contents is too large.
    """
    size = size_of(file)
    tail_size = min(size, 22 + 0xFFFF)
    file.seek(size - tail_size)
    tail = file.read(tail_size)
    start = tail.rfind(END_OF_CONTENTS)
    if start < 0 or len(tail) - start < 22:
        raise ZipRefused(DAMAGED)
    entries, contents_bytes = struct.unpack_from("<HI", tail, start + 10)
    contents_end = size - tail_size + start
    locator = tail[max(0, start - 20) : start]
    if locator.startswith(LOCATOR_64):
        contents_end = max(0, contents_end - 20 - 56)
        file.seek(contents_end)
        record = file.read(56)
        # Versions of Python differ in where they look for a record that is elsewhere.
        if not record.startswith(END_OF_CONTENTS_64) or struct.unpack_from("<Q", locator, 8) != (
            contents_end,
        ):
            raise ZipRefused(DAMAGED)
        entries, contents_bytes = struct.unpack_from("<QQ", record, 32)
    too_many = ZipRefused(f"This zip has more than {MAX_ENTRIES:,} entries.")
    if entries > MAX_ENTRIES:
        raise too_many
    if contents_bytes > MAX_CONTENTS_BYTES:
        raise ZipRefused(f"The table of contents of this zip exceeds {MAX_CONTENTS_BYTES // 1024**2} MB.")
    # Python reads what is there, not as many entries as are stated.
    file.seek(max(0, contents_end - contents_bytes))
    if file.read(contents_bytes).count(ENTRY_IN_CONTENTS) > MAX_ENTRIES:
        raise too_many


def size_of(file: BinaryIO) -> int:
    """Returns the size in bytes, and moves to the end of the file."""
    return file.seek(0, 2)


def quoted_name(info: zipfile.ZipInfo) -> str:
    """Returns the name of an entry for messages: ASCII, in quotes, at most MAX_SHOWN characters."""
    name = info.orig_filename
    return ascii(name if len(name) <= MAX_SHOWN else name[:MAX_SHOWN] + "...")


def canonical_name(name: str) -> str:
    """Returns the same string for names that a person or a file system would confuse."""
    if name.isascii():
        return name.lower()
    without_joiners = name.translate(dict.fromkeys(map(ord, JOINERS)))
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", without_joiners).casefold())


def _raw_name(info: zipfile.ZipInfo) -> bytes:
    return info.orig_filename.encode("utf-8" if info.flag_bits & UTF_8 else "cp437")


def _is_visible(name: str) -> bool:
    return not any(
        unicodedata.category(letter) in HIDDEN_CHARACTERS and letter not in JOINERS for letter in name
    )
